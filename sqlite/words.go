package sqlite

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"sync"

	"github.com/google/uuid"

	"latchkey"
)

const (
	// maxWords is how many texts of one kind have a number in a day's file. A
	// stranger who sends another path with each request fills no memory.
	maxWords = 2048
	// maxWord is the longest text that gets a number, in bytes.
	maxWord = 256
)

// A kind is a column whose texts have numbers. Files hold these values.
type kind int64

const (
	kindNode kind = iota + 1
	kindTeam
	kindCredential
	kindAuth
	kindOutcome
	kindReason
	kindDiagnosis
	kindMethod
	kindHost
	kindPath
	kindClientIP
	kindUserAgent
)

type word struct {
	kind kind
	text string
}

// words are the numbers of a file's texts, as far as they are known here.
type words struct {
	writing sync.Mutex     // held by the one transaction that gives numbers
	numbers map[word]int64 // nil: none is known
	full    map[kind]bool  // all texts of the kind that will ever have a number are in numbers

	mu    sync.RWMutex
	texts map[int64]string
}

// forget is for a transaction that gave numbers and was undone.
func (w *words) forget() { w.numbers, w.full = nil, nil }

// value returns what a column of a kind holds for a text: its number, the text
// itself, or nil for an empty one. It runs in the transaction of c.
func (w *words) value(ctx context.Context, c *sql.Conn, k kind, s string) (any, error) {
	if s == "" {
		return nil, nil
	}
	if number, known := w.numbers[word{k, s}]; known {
		return number, nil
	}
	s = text(s)
	if len(s) > maxWord || w.full[k] {
		return s, nil
	}
	_, err := c.ExecContext(ctx, `
		INSERT INTO words (kind, text) SELECT ?1, ?2 WHERE (SELECT count(*) FROM words WHERE kind = ?1) < ?3
		ON CONFLICT DO NOTHING`, int64(k), s, maxWords)
	if err != nil {
		return nil, err
	}
	number, err := numberOf(ctx, c, k, s)
	if errors.Is(err, sql.ErrNoRows) {
		return s, w.load(ctx, c, k)
	}
	if err != nil {
		return nil, err
	}
	w.learn(word{k, s}, number)
	return number, nil
}

func (w *words) learn(of word, number int64) {
	if w.numbers == nil {
		w.numbers = make(map[word]int64)
	}
	w.numbers[of] = number
}

// numberOf returns the number of a text, or sql.ErrNoRows.
func numberOf(ctx context.Context, q querier, k kind, s string) (number int64, err error) {
	err = q.QueryRowContext(ctx, `SELECT id FROM words WHERE kind = ? AND text = ?`, int64(k), s).Scan(&number)
	return number, err
}

// load learns all texts of a kind that is full.
func (w *words) load(ctx context.Context, c *sql.Conn, k kind) error {
	rows, err := c.QueryContext(ctx, `SELECT id, text FROM words WHERE kind = ?`, int64(k))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var (
			number int64
			s      string
		)
		if err := rows.Scan(&number, &s); err != nil {
			return err
		}
		w.learn(word{k, s}, number)
	}
	if w.full == nil {
		w.full = make(map[kind]bool)
	}
	w.full[k] = true
	return rows.Err()
}

// text returns what a column's value stands for.
func (w *words) text(ctx context.Context, q querier, value any) (string, error) {
	number, is := value.(int64)
	if !is {
		s, _ := value.(string)
		return s, nil
	}
	w.mu.RLock()
	s, known := w.texts[number]
	w.mu.RUnlock()
	if known {
		return s, nil
	}
	if err := q.QueryRowContext(ctx, `SELECT text FROM words WHERE id = ?`, number).Scan(&s); err != nil {
		return "", err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.texts == nil {
		w.texts = make(map[int64]string)
	}
	w.texts[number] = s
	return s, nil
}

// packUUID returns a UUID as 16 bytes, if that tells all of it.
func packUUID(s string) any {
	if s == "" {
		return nil
	}
	if id, err := uuid.Parse(s); err == nil && id.String() == s {
		return id[:]
	}
	return text(s)
}

// packTrace returns 32 hexadecimal characters as 16 bytes.
func packTrace(s string) any {
	if s == "" {
		return nil
	}
	if b, err := hex.DecodeString(s); err == nil && len(b) == 16 && hex.EncodeToString(b) == s {
		return b
	}
	return text(s)
}

func unpackUUID(value any) (string, error) {
	if b, is := value.([]byte); is {
		id, err := uuid.FromBytes(b)
		return id.String(), err
	}
	s, _ := value.(string)
	return s, nil
}

func unpackTrace(value any) string {
	if b, is := value.([]byte); is {
		return hex.EncodeToString(b)
	}
	s, _ := value.(string)
	return s
}

// wordsOf are the texts of a record that have numbers, in the order of their
// columns and kinds.
func wordsOf(r *latchkey.Record) [12]string {
	return [12]string{
		r.Node, r.TeamID, r.CredentialID, string(r.Auth), string(r.Outcome), string(r.Reason),
		r.Diagnosis, r.Method, r.Host, r.Path, r.ClientIP, r.UserAgent,
	}
}
