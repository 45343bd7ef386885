// A JWT, signed with the API secret by jose (npm install jose).
import { SignJWT } from "jose";
const { LATCHKEY_URL, LATCHKEY_SECRET_ID, LATCHKEY_SECRET_KEY } = process.env;
if (!LATCHKEY_URL || !LATCHKEY_SECRET_ID || !LATCHKEY_SECRET_KEY) {
  throw new Error("set LATCHKEY_URL, LATCHKEY_SECRET_ID and LATCHKEY_SECRET_KEY");
}

const key = new TextEncoder().encode(`${LATCHKEY_SECRET_ID}||${LATCHKEY_SECRET_KEY}`);
const token = await new SignJWT()
  .setProtectedHeader({ alg: "HS256", typ: "JWT" })
  .setIssuer(LATCHKEY_SECRET_ID)
  .setIssuedAt() // now; the token lives for 300 seconds
  .sign(key);

const response = await fetch(`${LATCHKEY_URL}/v1/contacts`, {
  headers: { Authorization: `Bearer ${token}` },
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
