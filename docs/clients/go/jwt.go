// A JWT signed with the API secret, by the standard library alone.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"
)

func sign(secretID, secretKey string) string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"iss":%q,"iat":%d}`, secretID, time.Now().Unix()) // the token lives for 300 s
	unsigned := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secretID+"||"+secretKey))
	mac.Write([]byte(unsigned))
	return unsigned + "." + encode(mac.Sum(nil))
}

func env(name string) string {
	value := os.Getenv(name)
	if value == "" {
		log.Fatal(name, " is not set")
	}
	return value
}

func main() {
	request, err := http.NewRequest("GET", env("LATCHKEY_URL")+"/v1/contacts", nil)
	if err != nil {
		log.Fatal(err)
	}
	token := sign(env("LATCHKEY_SECRET_ID"), env("LATCHKEY_SECRET_KEY"))
	request.Header.Set("Authorization", "Bearer "+token)

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode, response.Header.Get("X-Request-Id")) // support finds the request by the ID
	if _, err := io.Copy(os.Stdout, response.Body); err != nil || response.StatusCode >= 400 {
		os.Exit(1) // the body was JSON with code and detail
	}
}
