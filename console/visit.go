package console

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"latchkey"
	"latchkey/problem"
)

// A visit is one request to the console, and who makes it.
type visit struct {
	*site
	r       *http.Request
	user    latchkey.User    // zero: nobody
	holding latchkey.Holding // the user's team; zero for support
	loaded  bool             // the session was looked at
	known   bool             // there was one, even if its user is nobody now
	proof   time.Time        // when the password was last typed
	device  *http.Cookie     // that makes the browser known; nil: as it was
}

// An answer is what a visit is answered with: a page, or the way to one.
type answer struct {
	status   int    // 0 means 200, or 303 with location
	location string // a path of ours
	page     string // the name of a template
	title    string
	data     any
	retry    time.Duration // of a 429
	allow    string        // of a 405
}

// errGone: the session's user may not do this any more, or nobody is logged in.
var errGone = errors.New("not logged in")

func (v *visit) ctx() context.Context { return v.r.Context() }

// now is the console's clock.
func (v *visit) now() time.Time { return v.site.now() }

// source is where the request comes from.
func (v *visit) source() netip.Addr {
	if v.Source != nil {
		return v.Source(v.r)
	}
	peer, err := netip.ParseAddrPort(v.r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().Unmap().WithZone("")
}

func (v *visit) actor() latchkey.Actor {
	return latchkey.Actor{Name: v.user.Email, Source: v.source().String()}
}

// note writes an event of this visit.
func (v *visit) note(action latchkey.Action, teamID, subject, detail string) error {
	return v.Keyring.Audit.AppendEvents(v.ctx(), v.event(action, teamID, subject, detail))
}

func (v *visit) event(action latchkey.Action, teamID, subject, detail string) latchkey.Event {
	return latchkey.NewEvent(v.now(), v.actor(), action, teamID, subject, detail)
}

// field returns a field of the form. The query is not looked at.
func (v *visit) field(name string) string { return v.r.PostForm.Get(name) }

// ServeHTTP answers one request.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if file, ok := s.files[r.URL.Path]; ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		file.serve(w, r)
		return
	}
	v := &visit{site: s, r: r}
	a, err := v.answer(w)
	if err != nil {
		a = v.refusal(err)
	}
	if err := v.write(w, a); err != nil {
		s.logger().ErrorContext(r.Context(), "a page of the console failed", "path", r.URL.Path, "error", err)
		http.Error(w, "Something went wrong on our side. Try again.", http.StatusInternalServerError)
	}
}

// answer finds the page, and whether this visitor may have it.
func (v *visit) answer(w http.ResponseWriter) (answer, error) {
	if err := v.checkMethod(); err != nil {
		return answer{}, err
	}
	if err := v.checkHost(); err != nil {
		return answer{}, err
	}
	methods := v.find(v.r.URL.Path)
	method := v.r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	page, ok := methods[method]
	if ok && method == http.MethodPost {
		if err := v.readForm(w); err != nil {
			return answer{}, err
		}
	}
	if err := v.loadSession(); err != nil {
		return answer{}, err
	}
	switch {
	case methods == nil:
		return answer{}, latchkey.NotFound("page", v.r.URL.Path)
	case !ok:
		return answer{}, &problem.Error{Code: latchkey.CodeMethodNotAllowed, Allow: allowed(methods)}
	case page.roles != nil && v.user.ID == "":
		return v.stranger(method)
	case !page.allows(v.user.Role):
		return v.forbidden(method)
	case page.proof && !v.proven(0):
		if a, err := v.askProof(); err != nil || a.page != "" {
			return a, err
		}
	}
	return page.do(v)
}

// readForm reads the form of a request that may change something, once it is
// known to come from a page of ours.
func (v *visit) readForm(w http.ResponseWriter) error {
	if err := v.checkOrigin(); err != nil {
		return err
	}
	kind, _, err := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return &refused{"The console takes forms only."}
	}
	v.r.Body = http.MaxBytesReader(w, v.r.Body, maxForm)
	if err := v.r.ParseForm(); err != nil {
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			return large
		}
		return &latchkey.InvalidError{Field: "form", Problem: "cannot be read"}
	}
	return nil
}

// stranger answers somebody who is not logged in, or is not any more.
func (v *visit) stranger(method string) (answer, error) {
	if method == http.MethodPost {
		if v.known && v.user.Email != "" {
			if err := v.note(latchkey.ActionRefused, v.user.TeamID, v.r.URL.Path, "the session has ended"); err != nil {
				return answer{}, err
			}
			v.user = latchkey.User{}
		}
		return answer{}, errGone
	}
	v.user = latchkey.User{}
	if v.r.Header.Get("Sec-Fetch-Site") == "cross-site" && v.r.Header.Get("Cookie") == "" {
		// A link from elsewhere comes without a SameSite=Strict cookie. A page
		// of ours that leads to the same place brings it.
		return answer{page: "bounce", title: "One moment", data: v.r.URL.RequestURI()}, nil
	}
	return answer{location: "/login?next=" + url.QueryEscape(v.r.URL.RequestURI())}, nil
}

// forbidden answers a user whose role does not allow this.
func (v *visit) forbidden(method string) (answer, error) {
	if method == http.MethodPost {
		err := v.note(latchkey.ActionRefused, v.user.TeamID, v.r.URL.Path, "as "+string(v.user.Role))
		if err != nil {
			return answer{}, err
		}
	}
	return answer{}, &refused{"Your role, " + string(v.user.Role) + ", does not allow this. Ask an admin of your team."}
}

// refused is a 403 with its reason, for the one who asked.
type refused struct{ why string }

func (e *refused) Error() string { return e.why }

// A failure is what the error page shows.
type failure struct {
	Status int
	Title  string
	Words  string
	Login  bool   // a way to log in is offered
	Back   string // where to go on
}

// refusal turns an error into a page.
func (v *visit) refusal(err error) answer {
	f := failure{Status: problem.Status(err), Back: "/"}
	var (
		no       *refused
		invalid  *latchkey.InvalidError
		throttle *tooMany
		wrongWay *problem.Error
	)
	switch {
	case errors.Is(err, errGone):
		f.Status, f.Title, f.Words, f.Login = http.StatusForbidden, "You are logged out", "Your session has ended. Nothing was changed.", true
	case errors.As(err, &no):
		f.Status, f.Title, f.Words = http.StatusForbidden, "This is not allowed", no.why
	case errors.As(err, &throttle):
		f.Status, f.Title, f.Words = http.StatusTooManyRequests, "Too many attempts", throttle.words()
	case errors.Is(err, errBusy):
		throttle = &tooMany{time.Second}
		f.Status, f.Title, f.Words = http.StatusTooManyRequests, "We are busy", "Too many passwords are being checked at the moment. Try again in a few seconds."
	case errors.As(err, &wrongWay) && wrongWay.Code == latchkey.CodeMethodNotAllowed:
		f.Title, f.Words = "This does not work that way", "The page cannot be asked for by this method."
	case errors.As(err, &invalid):
		f.Title, f.Words = "This cannot be used", sentence(invalid.Error())
	case errors.Is(err, latchkey.ErrOutcomeUnknown):
		f.Title, f.Words, f.Back = "We cannot tell whether that was done",
			"The change was sent, and its outcome is not known. Look at the page before you try again.", "/settings/integrations"
	case f.Status == http.StatusConflict:
		f.Title, f.Words = "Things have changed in the meantime", sentence(err.Error())
	case f.Status == http.StatusNotFound:
		f.Title, f.Words = "There is nothing here", "The page does not exist, or is not yours to see."
	case f.Status == http.StatusRequestEntityTooLarge:
		f.Title, f.Words = "That is too much", "A form may have at most 64 KiB."
	case f.Status == http.StatusServiceUnavailable:
		f.Title, f.Words = "Not available at the moment", "The console cannot reach its data in time. Try again in a moment."
	default:
		f.Title, f.Words = "Something went wrong on our side", "Nothing more is known here; the log has it. Try again."
	}
	if f.Status >= http.StatusInternalServerError {
		v.logger().ErrorContext(v.ctx(), "the console could not answer", "path", v.r.URL.Path, "error", err)
	}
	a := answer{status: f.Status, page: "failure", title: f.Title, data: f}
	if throttle != nil {
		a.retry = throttle.wait
	}
	if f.Status == http.StatusServiceUnavailable {
		a.retry = time.Second
	}
	if wrongWay != nil {
		a.allow = wrongWay.Allow
	}
	return a
}

// tooMany is a 429.
type tooMany struct{ wait time.Duration }

func (e *tooMany) Error() string { return "too many attempts" }

func (e *tooMany) seconds() int { return max(1, int((e.wait+time.Second-1)/time.Second)) }

func (e *tooMany) words() string {
	return "Too many attempts. Try again in " + count(int64(e.seconds()), "second") + "."
}

// write sends the answer. The whole page is made before its first byte leaves.
func (v *visit) write(w http.ResponseWriter, a answer) error {
	var body []byte
	if a.location == "" {
		var err error
		if body, err = v.render(a); err != nil {
			return err
		}
	}
	if v.loaded {
		if err := v.saveSession(w); err != nil {
			return err
		}
	}
	if a.location != "" {
		w.Header().Set("Location", a.location)
		w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if a.allow != "" {
		h.Set("Allow", a.allow)
	}
	if a.retry > 0 {
		h.Set("Retry-After", strconv.Itoa((&tooMany{a.retry}).seconds()))
	}
	w.WriteHeader(max(a.status, http.StatusOK))
	if v.r.Method != http.MethodHead {
		_, _ = w.Write(body) // whoever asked has gone: there is nobody left to tell
	}
	return nil
}

// oneOf returns value if it is one of the list, else the first.
func oneOf(value string, list ...string) string {
	if slices.Contains(list, value) {
		return value
	}
	return list[0]
}
