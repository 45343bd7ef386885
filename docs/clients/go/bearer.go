// The API key as a Bearer token, by net/http alone.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

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
	request.Header.Set("Authorization", "Bearer "+env("LATCHKEY_API_KEY"))

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
