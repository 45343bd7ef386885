"""The API key as a Bearer token."""
import json, os, sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

request = Request(os.environ["LATCHKEY_URL"] + "/v1/contacts")
# "Unredirected": urllib would send any other header along to wherever a redirect points.
request.add_unredirected_header("Authorization", "Bearer " + os.environ["LATCHKEY_API_KEY"])

try:
    with urlopen(request, timeout=10) as response:
        print(response.status, response.headers["X-Request-Id"])
        print(json.load(response))
except HTTPError as error:
    print(error.code, error.headers["X-Request-Id"])  # support finds the request by this ID
    problem = json.load(error)
    sys.exit(f"{problem['code']}: {problem['detail']}")
