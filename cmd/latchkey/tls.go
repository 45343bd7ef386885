package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateCheck is how often the files of a certificate are looked at.
const certificateCheck = time.Second

// A certificate is read from its two files, and again when they change. Files
// that cannot be used leave the last good one in place.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]time.Time // modification times of what was last read
	checked time.Time
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && time.Since(c.checked) < certificateCheck {
		return c.current, nil
	}
	c.checked = time.Now()
	seen, err := c.modified()
	if err == nil && c.current != nil && seen == c.seen {
		return c.current, nil
	}
	if err == nil {
		var next tls.Certificate
		if next, err = tls.LoadX509KeyPair(c.certFile, c.keyFile); err == nil {
			if c.current != nil {
				c.logger.Info("the TLS certificate was read again", "file", c.certFile)
			}
			c.current, c.seen = &next, seen
			return c.current, nil
		}
	}
	if c.current == nil {
		return nil, fmt.Errorf("read the TLS certificate: %w", err)
	}
	if seen != c.seen {
		c.logger.Error("the changed TLS certificate cannot be used; the one before it stays", "error", err)
		c.seen = seen // said once for each change
	}
	return c.current, nil
}

func (c *certificate) modified() (times [2]time.Time, err error) {
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return times, err
		}
		times[i] = info.ModTime()
	}
	return times, nil
}
