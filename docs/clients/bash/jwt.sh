#!/usr/bin/env bash
# A JWT, signed with the API secret. It lives for five minutes.
set -euo pipefail
: "${LATCHKEY_URL:?}" "${LATCHKEY_SECRET_ID:?}" "${LATCHKEY_SECRET_KEY:?}"

base64url() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }

header=$(printf '{"alg":"HS256","typ":"JWT"}' | base64url)
payload=$(printf '{"iss":"%s","iat":%d}' "$LATCHKEY_SECRET_ID" "$(date +%s)" | base64url)
signature=$(printf '%s' "$header.$payload" |
  openssl dgst -sha256 -binary -hmac "$LATCHKEY_SECRET_ID||$LATCHKEY_SECRET_KEY" | base64url)

answer=$(curl -sS --max-time 10 -w '\n%{http_code} %header{x-request-id}' \
  -H @- "$LATCHKEY_URL/v1/contacts" <<<"Authorization: Bearer $header.$payload.$signature")

read -r status request_id <<<"${answer##*$'\n'}"
echo "$status $request_id"  # keep the ID: support finds the request by it
echo "${answer%$'\n'*}"     # on an error, JSON with code and detail
[ "$status" -lt 400 ]
