# A JWT, signed with the API secret.
require "json"
require "net/http"
require "openssl"

def encode(part) = [part].pack("m0").tr("+/", "-_").delete("=")

secret_id, secret_key = ENV.fetch("LATCHKEY_SECRET_ID"), ENV.fetch("LATCHKEY_SECRET_KEY")
claims = { iss: secret_id, iat: Time.now.to_i } # in seconds; the token lives for 300 of them
unsigned = [{ alg: "HS256", typ: "JWT" }, claims].map { |part| encode(part.to_json) }.join(".")
signature = OpenSSL::HMAC.digest("SHA256", "#{secret_id}||#{secret_key}", unsigned)
token = "#{unsigned}.#{encode(signature)}"

uri = URI("#{ENV.fetch("LATCHKEY_URL")}/v1/contacts")
request = Net::HTTP::Get.new(uri, "Authorization" => "Bearer #{token}")
response = Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", read_timeout: 10) do |http|
  http.request(request)
end

puts "#{response.code} #{response["X-Request-Id"]}" # keep the ID: support finds the request by it
answer = JSON.parse(response.body)
puts response.is_a?(Net::HTTPSuccess) ? answer : "#{answer["code"]}: #{answer["detail"]}"
exit response.is_a?(Net::HTTPSuccess)
