<?php
// A JWT, signed with the API secret.
$env = fn (string $name) => getenv($name) ?: throw new Exception("$name is not set");
$encode = fn (string $part) => rtrim(strtr(base64_encode($part), '+/', '-_'), '=');
[$secretId, $secretKey] = [$env('LATCHKEY_SECRET_ID'), $env('LATCHKEY_SECRET_KEY')];
$claims = ['iss' => $secretId, 'iat' => time()]; // in seconds; the token lives for 300 of them
$unsigned = $encode('{"alg":"HS256","typ":"JWT"}') . '.' . $encode(json_encode($claims));
$signature = hash_hmac('sha256', $unsigned, "$secretId||$secretKey", true);
$authorization = "Authorization: Bearer $unsigned." . $encode($signature);

$context = stream_context_create(['http' => [
    'header' => $authorization,
    'timeout' => 10,
    'follow_location' => 0, // a redirect would get the header, wherever it points
    'ignore_errors' => true, // read the body of an error too
]]);
$answer = json_decode(file_get_contents($env('LATCHKEY_URL') . '/v1/contacts', false, $context));

$status = (int) explode(' ', $http_response_header[0])[1];
$id = preg_replace('/^X-Request-Id: /i', '', current(preg_grep('/^X-Request-Id:/i', $http_response_header)));
echo "$status $id\n"; // keep the ID: support finds the request by it
if ($status >= 400) {
    fwrite(STDERR, "$answer->code: $answer->detail\n");
    exit(1);
}
print_r($answer);
