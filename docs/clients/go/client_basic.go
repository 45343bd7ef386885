// The API key as the user name of HTTP Basic, by package client.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"latchkey/client"
)

func main() {
	api := &http.Client{Transport: client.Basic(os.Getenv("LATCHKEY_API_KEY"))}
	response, err := api.Get(os.Getenv("LATCHKEY_URL") + "/v1/contacts")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	fmt.Println(response.StatusCode, response.Header.Get("X-Request-Id"))
	if err := client.ErrorFrom(response); err != nil {
		log.Fatal(err) // it ends with the request ID, by which support finds the request
	}
	if _, err := io.Copy(os.Stdout, response.Body); err != nil {
		log.Fatal(err)
	}
}
