package console

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey"
)

//go:embed templates static
var embedded embed.FS

// A file is a static one. Its address names its content, so that browsers may
// keep it: it is the same for everybody, and holds no secret.
type file struct {
	content []byte
	kind    string
	version string
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Content-Length", strconv.Itoa(len(f.content)))
	if r.URL.RawQuery == "v="+f.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(f.content)
	}
}

// readFiles returns the static files by path.
func readFiles() map[string]file {
	files := make(map[string]file)
	for name, kind := range map[string]string{
		"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8", "key.svg": "image/svg+xml",
	} {
		content, err := embedded.ReadFile("static/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		sum := sha256.Sum256(content)
		files["/static/"+name] = file{content, kind, hex.EncodeToString(sum[:8])}
	}
	return files
}

// readPages returns a template for each page: the layout around it.
func readPages(files map[string]file) map[string]*template.Template {
	functions := template.FuncMap{
		"static": func(name string) string { return "/static/" + name + "?v=" + files["/static/"+name].version },
		"count":  count,
		"cut":    func(limit int, text any) string { return cut(limit, fmt.Sprint(text)) },
	}
	shared := template.Must(template.New("layout.html").Funcs(functions).
		ParseFS(embedded, "templates/layout.html", "templates/parts.html"))
	names, err := fs.Glob(embedded, "templates/*.html")
	if err != nil {
		panic(err) // the pattern is good
	}
	pages := make(map[string]*template.Template)
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if base != "layout" && base != "parts" {
			pages[base] = template.Must(template.Must(shared.Clone()).ParseFS(embedded, name))
		}
	}
	return pages
}

// A frame is what surrounds each page.
type frame struct {
	Title string
	User  latchkey.User
	Team  string
	Tabs  []tab
	Page  any
}

type tab struct {
	Name, Path string
	Here       bool
}

func (v *visit) render(a answer) ([]byte, error) {
	f := frame{Title: a.title, User: v.user, Team: v.holding.Team.Name, Page: a.data}
	if v.user.ID != "" {
		f.Tabs = v.tabs()
	}
	page := v.pages[a.page]
	if page == nil {
		return nil, fmt.Errorf("there is no template %q", a.page)
	}
	var body bytes.Buffer
	if err := page.Execute(&body, f); err != nil {
		return nil, fmt.Errorf("make page %s: %w", a.page, err)
	}
	return body.Bytes(), nil
}

func (v *visit) tabs() []tab {
	var tabs []tab
	for _, t := range []tab{
		{Name: "Integrations", Path: "/settings/integrations"}, {Name: "Requests", Path: "/requests"},
		{Name: "Members", Path: "/settings/members"}, {Name: "Audit", Path: "/settings/audit"},
		{Name: "Account", Path: "/settings/account"},
	} {
		page := v.routes[t.Path][http.MethodGet]
		if page.allows(v.user.Role) {
			t.Here = v.r.URL.Path == t.Path || strings.HasPrefix(v.r.URL.Path, t.Path+"/")
			tabs = append(tabs, t)
		}
	}
	return tabs
}

// home leads to the first page of a role.
func (v *visit) home() (answer, error) {
	switch {
	case v.user.ID == "":
		return answer{location: "/login"}, nil
	case v.user.Role == latchkey.RoleSupport:
		return answer{location: "/requests"}, nil
	}
	return answer{location: "/settings/integrations"}, nil
}

// A moment is a time as people read it: how long ago, and when exactly.
type moment struct {
	at, now time.Time
}

func (v *visit) moment(t time.Time) moment { return moment{t, v.now()} }

// IsZero reports whether there is no time.
func (m moment) IsZero() bool { return m.at.IsZero() }

// Machine is the time for programs.
func (m moment) Machine() string { return m.at.UTC().Format(time.RFC3339) }

// Exact is the time to the second.
func (m moment) Exact() string { return m.at.UTC().Format("2006-01-02 15:04:05 UTC") }

// Relative is how far from now it is.
func (m moment) Relative() string {
	d := m.now.Sub(m.at)
	switch {
	case d < -time.Second:
		return "in " + span(-d)
	case d < 10*time.Second:
		return "just now"
	}
	return span(d) + " ago"
}

// span is a length of time in one unit.
func span(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return count(int64(d.Round(time.Second)/time.Second), "second")
	case d < 90*time.Minute:
		return count(int64(d.Round(time.Minute)/time.Minute), "minute")
	case d < 36*time.Hour:
		return count(int64(d.Round(time.Hour)/time.Hour), "hour")
	}
	return count(int64(d.Round(24*time.Hour)/(24*time.Hour)), "day")
}

// count writes a number with its noun, as in "1 second" and "1,204 requests".
func count(n int64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return grouped(n) + " " + noun
}

// grouped writes a number with commas.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// cut shortens a text that strangers chose, and makes visible what would not be
// seen, or would turn the text around.
func cut(limit int, text string) string {
	var out strings.Builder
	for _, c := range text {
		if limit--; limit < 0 {
			out.WriteString("…")
			break
		}
		if c == utf8.RuneError || !unicode.IsPrint(c) {
			c = '\uFFFD'
		}
		out.WriteRune(c)
	}
	return out.String()
}

// sentence makes an error's words a sentence.
func sentence(words string) string {
	first, size := utf8.DecodeRuneInString(words)
	return string(unicode.ToUpper(first)) + words[size:] + "."
}

// methodWords says how a credential was presented.
func methodWords(m latchkey.Method) string {
	switch m {
	case latchkey.MethodBearer:
		return "Bearer token"
	case latchkey.MethodBasic:
		return "Basic"
	case latchkey.MethodJWT:
		return "JWT"
	}
	return "none"
}

// by names who did something; what was there from the start was made by nobody.
func by(name string) string { return cmp.Or(cut(80, name), "latchkey") }
