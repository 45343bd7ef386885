package main

import (
	"errors"
	"fmt"
	"io"

	"latchkey"
)

type explainCmd struct {
	secretFlag
	Credential string `arg:"" optional:"" help:"The credential. Standard input is safer: others can see the command line."`
}

// Help says more.
func (*explainCmd) Help() string {
	return `Says what a credential is, whether it would pass, why not, and how to mend it. It reads an Authorization header, also in a curl command or a line of source code, its value, or a bare key or token from standard input. No server takes part, so that it judges time by this machine's clock, and cannot tell whether a key is alive or a secret revoked. With the API secret, it finds out what is wrong with a signature.

Exit codes: 0 it would pass, or no mistake can be seen from here; 1 a mistake is seen.`
}

// An explanation is what latchkey explain prints as JSON.
type explanation struct {
	Verdict latchkey.Verdict `json:"verdict"`
	Reason  latchkey.Reason  `json:"reason"`
	Facts   []string         `json:"facts"`
	Mistake string           `json:"mistake"`
	Mend    string           `json:"mend"`
}

// Run explains a credential.
func (c *explainCmd) Run(s *session) error {
	id, key, err := c.read()
	known := err == nil
	if err != nil && !errors.Is(err, errNoSecret) {
		return err
	}
	text, err := s.pasted(c.Credential, "Credential")
	if err != nil {
		return err
	}
	q := latchkey.Question{Text: text, Prefix: s.KeyPrefix}
	if known {
		q.APISecret = latchkey.OneSecret(id, key)
	}
	e := latchkey.Explain(q)
	said := explanation{Verdict: e.Verdict, Reason: e.Reason, Facts: e.Facts, Mistake: e.Mistake, Mend: e.Mend}
	if err := s.show(said, func(w io.Writer) { describeExplanation(w, e) }); err != nil {
		return err
	}
	switch {
	case e.Verdict == latchkey.VerdictFails:
		return errors.New("it would be refused")
	case e.Mistake != "":
		return errors.New("it looks like a mistake")
	}
	return nil
}

func describeExplanation(w io.Writer, e latchkey.Explanation) {
	for _, fact := range e.Facts {
		fmt.Fprintln(w, plain(fact))
	}
	fmt.Fprintln(w)
	verdict := map[latchkey.Verdict]string{
		latchkey.VerdictPasses:  "it would pass",
		latchkey.VerdictFails:   "it would be refused",
		latchkey.VerdictUnknown: "cannot be told from here",
	}[e.Verdict]
	if e.Verdict == latchkey.VerdictFails && e.Reason != "" {
		verdict += " (" + string(e.Reason) + ")"
	}
	fields(w, [2]string{"Verdict", verdict}, [2]string{"Mistake", e.Mistake}, [2]string{"What to do", e.Mend})
}
