package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate returns a TLS configuration whose certificate is read again when
// its files change. One that cannot be read leaves the last good one in use; with
// none at all the handshake fails, and says why.
func certificate(cert, key string, log *slog.Logger) func() *tls.Config {
	k := &keyPair{cert: cert, key: key, log: log}
	conf := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.current() }}
	return func() *tls.Config { return conf }
}

type keyPair struct {
	cert, key string
	log       *slog.Logger

	mu   sync.Mutex
	pair *tls.Certificate
	seen [2]time.Time // when the files were last changed
	err  error
}

func (k *keyPair) current() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := [2]time.Time{changed(k.cert), changed(k.key)}
	if seen != k.seen || k.pair == nil && k.err == nil {
		k.seen = seen
		pair, err := tls.LoadX509KeyPair(k.cert, k.key)
		if k.err = err; err != nil {
			k.err = fmt.Errorf("certificate %s with key %s: %w", k.cert, k.key, err)
			k.log.Error("the certificate cannot be used", "err", k.err)
		} else {
			k.pair = &pair
		}
	}
	if k.pair == nil {
		return nil, k.err
	}
	return k.pair, nil
}

// changed returns when a file was last changed; zero if it cannot be seen.
func changed(file string) time.Time {
	if fi, err := os.Stat(file); err == nil {
		return fi.ModTime()
	}
	return time.Time{}
}
