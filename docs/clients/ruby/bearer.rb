# The API key as a Bearer token.
require "json"
require "net/http"

uri = URI("#{ENV.fetch("LATCHKEY_URL")}/v1/contacts")
request = Net::HTTP::Get.new(uri, "Authorization" => "Bearer #{ENV.fetch("LATCHKEY_API_KEY")}")
response = Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", read_timeout: 10) do |http|
  http.request(request)
end

puts "#{response.code} #{response["X-Request-Id"]}" # keep the ID: support finds the request by it
answer = JSON.parse(response.body)
puts response.is_a?(Net::HTTPSuccess) ? answer : "#{answer["code"]}: #{answer["detail"]}"
exit response.is_a?(Net::HTTPSuccess)
