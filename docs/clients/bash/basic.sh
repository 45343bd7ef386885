#!/usr/bin/env bash
# The API key as the user name of HTTP Basic; the password is empty.
set -euo pipefail
: "${LATCHKEY_URL:?}" "${LATCHKEY_API_KEY:?}"

# As with -u "$LATCHKEY_API_KEY:", but no other user can see it. Mind the colon.
answer=$(curl -sS --max-time 10 -w '\n%{http_code} %header{x-request-id}' \
  -K - "$LATCHKEY_URL/v1/contacts" <<<"user = \"$LATCHKEY_API_KEY:\"")

read -r status request_id <<<"${answer##*$'\n'}"
echo "$status $request_id"  # keep the ID: support finds the request by it
echo "${answer%$'\n'*}"     # on an error, JSON with code and detail
[ "$status" -lt 400 ]
