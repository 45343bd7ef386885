import java.net.URI;
import java.net.http.*;
import java.time.Duration;

/** The API key as a Bearer token. */
public class Bearer {
    public static void main(String[] args) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(env("LATCHKEY_URL") + "/v1/contacts"))
            .header("Authorization", "Bearer " + env("LATCHKEY_API_KEY"))
            .timeout(Duration.ofSeconds(10)).build();
        var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());

        // Keep the ID: support finds the request by it.
        System.out.println(response.statusCode() + " " + response.headers().firstValue("X-Request-Id").orElse(""));
        System.out.println(response.body()); // on an error, JSON with code and detail
        System.exit(response.statusCode() < 400 ? 0 : 1);
    }

    static String env(String name) {
        var value = System.getenv(name);
        if (value == null || value.isEmpty()) throw new IllegalStateException(name + " is not set");
        return value;
    }
}
