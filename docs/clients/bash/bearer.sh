#!/usr/bin/env bash
# The API key as a Bearer token.
set -euo pipefail
: "${LATCHKEY_URL:?}" "${LATCHKEY_API_KEY:?}"

# The header goes in by standard input: other users can see a command's arguments.
answer=$(curl -sS --max-time 10 -w '\n%{http_code} %header{x-request-id}' \
  -H @- "$LATCHKEY_URL/v1/contacts" <<<"Authorization: Bearer $LATCHKEY_API_KEY")

read -r status request_id <<<"${answer##*$'\n'}"
echo "$status $request_id"  # keep the ID: support finds the request by it
echo "${answer%$'\n'*}"     # on an error, JSON with code and detail
[ "$status" -lt 400 ]
