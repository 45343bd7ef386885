"""The API key as the user name of HTTP Basic; the password is empty."""
import base64, json, os, sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

user = os.environ["LATCHKEY_API_KEY"] + ":"  # the colon says: an empty password
request = Request(os.environ["LATCHKEY_URL"] + "/v1/contacts")
request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(user.encode()).decode())

try:
    with urlopen(request, timeout=10) as response:
        print(response.status, response.headers["X-Request-Id"])
        print(json.load(response))
except HTTPError as error:
    print(error.code, error.headers["X-Request-Id"])  # support finds the request by this ID
    problem = json.load(error)
    sys.exit(f"{problem['code']}: {problem['detail']}")
