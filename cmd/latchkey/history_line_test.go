package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// A lineReader reads answers of HTTP/1.1, as far as histories need them:
// net/http's client would take more time than the nodes.
type lineReader struct{ *bufio.Reader }

func newLineReader(r io.Reader) *lineReader { return &lineReader{bufio.NewReaderSize(r, 4<<10)} }

// status reads one answer, and returns its status.
func (r *lineReader) status() (int, error) {
	first, err := r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(first) < 12 || !bytes.HasPrefix(first, []byte("HTTP/1.1 ")) {
		return 0, fmt.Errorf("no answer of HTTP/1.1: %q", first)
	}
	status, err := strconv.Atoi(string(first[9:12]))
	if err != nil {
		return 0, err
	}
	length := 0
	for {
		field, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if field = bytes.TrimSpace(field); len(field) == 0 {
			break
		}
		name, value, _ := bytes.Cut(field, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	_, err = r.Discard(length)
	return status, err
}
