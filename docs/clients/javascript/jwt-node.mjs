// A JWT, signed with the API secret by node:crypto.
import { createHmac } from "node:crypto";
const { LATCHKEY_URL, LATCHKEY_SECRET_ID, LATCHKEY_SECRET_KEY } = process.env;
if (!LATCHKEY_URL || !LATCHKEY_SECRET_ID || !LATCHKEY_SECRET_KEY) {
  throw new Error("set LATCHKEY_URL, LATCHKEY_SECRET_ID and LATCHKEY_SECRET_KEY");
}

const claims = { iss: LATCHKEY_SECRET_ID, iat: Math.floor(Date.now() / 1000) }; // seconds; it lives for 300
const unsigned = [{ alg: "HS256", typ: "JWT" }, claims]
  .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
  .join(".");
const hmac = createHmac("sha256", `${LATCHKEY_SECRET_ID}||${LATCHKEY_SECRET_KEY}`);
const token = `${unsigned}.${hmac.update(unsigned).digest("base64url")}`;

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
