"""A JWT, signed with the API secret by PyJWT."""
import json, os, sys, time
from urllib.error import HTTPError
from urllib.request import Request, urlopen
import jwt  # PyJWT: pip install pyjwt

secret_id, secret_key = os.environ["LATCHKEY_SECRET_ID"], os.environ["LATCHKEY_SECRET_KEY"]
claims = {"iss": secret_id, "iat": int(time.time())}  # in seconds; the token lives for 300 of them
token = jwt.encode(claims, f"{secret_id}||{secret_key}", algorithm="HS256")

request = Request(os.environ["LATCHKEY_URL"] + "/v1/contacts")
request.add_unredirected_header("Authorization", "Bearer " + token)
try:
    with urlopen(request, timeout=10) as response:
        print(response.status, response.headers["X-Request-Id"])
        print(json.load(response))
except HTTPError as error:
    print(error.code, error.headers["X-Request-Id"])  # support finds the request by this ID
    problem = json.load(error)
    sys.exit(f"{problem['code']}: {problem['detail']}")
