// The API key as the user name of HTTP Basic; the password is empty.
const { LATCHKEY_URL, LATCHKEY_API_KEY } = process.env;
if (!LATCHKEY_URL || !LATCHKEY_API_KEY) throw new Error("set LATCHKEY_URL and LATCHKEY_API_KEY");

const user = Buffer.from(`${LATCHKEY_API_KEY}:`); // the colon says: an empty password
const response = await fetch(`${LATCHKEY_URL}/v1/contacts`, {
  headers: { Authorization: `Basic ${user.toString("base64")}` },
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
