// The API key as a Bearer token.
const { LATCHKEY_URL, LATCHKEY_API_KEY } = process.env;
if (!LATCHKEY_URL || !LATCHKEY_API_KEY) throw new Error("set LATCHKEY_URL and LATCHKEY_API_KEY");

const response = await fetch(`${LATCHKEY_URL}/v1/contacts`, {
  headers: { Authorization: `Bearer ${LATCHKEY_API_KEY}` },
  signal: AbortSignal.timeout(10_000),
});

// Keep the ID: support finds the request by it.
console.log(response.status, response.headers.get("X-Request-Id"));
const answer = JSON.parse(await response.text());
if (response.ok) {
  console.log(answer);
} else {
  console.error(`${answer.code}: ${answer.detail}`);
  process.exitCode = 1;
}
