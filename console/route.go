package console

import (
	"net/http"
	"slices"
	"strings"

	"latchkey"
)

// A route is one page or one deed, and who may ask for it.
type route struct {
	roles []latchkey.Role // nil: anybody, logged in or not
	proof bool            // the password must have been typed within proofTime
	do    func(*visit) (answer, error)
}

var (
	admins    = []latchkey.Role{latchkey.RoleAdmin}
	team      = []latchkey.Role{latchkey.RoleAdmin, latchkey.RoleMember}
	everybody = []latchkey.Role{latchkey.RoleAdmin, latchkey.RoleMember, latchkey.RoleSupport}
)

// onePath is the path of the only pages that have a parameter in theirs.
const onePath = "/requests/"

// routes is the whole site.
func routes() map[string]map[string]route {
	get, post := http.MethodGet, http.MethodPost
	return map[string]map[string]route{
		"/":       {get: {do: (*visit).home}},
		"/login":  {get: {do: (*visit).loginForm}, post: {do: (*visit).login}},
		"/logout": {post: {roles: everybody, do: (*visit).logout}},
		"/setup":  {get: {do: (*visit).setupForm}, post: {do: (*visit).setup}},
		"/join":   {get: {do: (*visit).joinForm}, post: {do: (*visit).join}},

		"/settings":                      {get: {do: (*visit).home}},
		"/settings/integrations":         {get: {roles: team, do: (*visit).integrations}},
		"/settings/integrations/check":   {post: {roles: team, do: (*visit).check}},
		"/settings/integrations/reveal":  {post: {roles: admins, proof: true, do: (*visit).reveal}},
		"/settings/integrations/copied":  {post: {roles: admins, do: (*visit).copied}},
		"/settings/integrations/roll":    {get: {roles: admins, do: (*visit).rollForm}, post: {roles: admins, proof: true, do: (*visit).roll}},
		"/settings/integrations/retire":  {get: {roles: admins, do: (*visit).retireForm}, post: {roles: admins, proof: true, do: (*visit).retire}},
		"/settings/integrations/secrets": {post: {roles: admins, proof: true, do: (*visit).createSecret}},
		"/settings/integrations/revoke":  {get: {roles: admins, do: (*visit).revokeForm}, post: {roles: admins, proof: true, do: (*visit).revoke}},

		"/settings/members":        {get: {roles: admins, do: (*visit).members}},
		"/settings/members/invite": {post: {roles: admins, proof: true, do: (*visit).invite}},
		"/settings/members/link":   {post: {roles: admins, proof: true, do: (*visit).newLink}},
		"/settings/members/role":   {post: {roles: admins, proof: true, do: (*visit).changeRole}},
		"/settings/members/remove": {post: {roles: admins, proof: true, do: (*visit).remove}},
		"/settings/audit":          {get: {roles: admins, do: (*visit).audit}},
		"/settings/account":        {get: {roles: everybody, do: (*visit).account}, post: {roles: everybody, do: (*visit).changePassword}},

		"/requests": {get: {roles: everybody, do: (*visit).requests}},
		onePath:     {get: {roles: everybody, do: (*visit).request}},
	}
}

// find returns the routes of a path, by method; nil if there is no such page.
func (s *site) find(path string) map[string]route {
	if id, ok := strings.CutPrefix(path, onePath); ok && id != "" && !strings.Contains(id, "/") {
		return s.routes[onePath]
	}
	if path == onePath {
		return nil
	}
	return s.routes[path]
}

// allowed returns the value of the Allow field.
func allowed(methods map[string]route) string {
	var list []string
	if _, ok := methods[http.MethodGet]; ok {
		list = append(list, http.MethodGet, http.MethodHead)
	}
	if _, ok := methods[http.MethodPost]; ok {
		list = append(list, http.MethodPost)
	}
	return strings.Join(list, ", ")
}

func (r *route) allows(role latchkey.Role) bool {
	return r.roles == nil || slices.Contains(r.roles, role)
}

// ownPage returns where to go after a login: next, if it is a page of ours and
// nothing else, or the first page.
func (s *site) ownPage(next string) string {
	path, query, _ := strings.Cut(next, "?")
	strange := func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~=&%+/", r)
	}
	if strings.ContainsFunc(path+query, strange) {
		return "/"
	}
	page, ok := s.find(path)[http.MethodGet]
	if !ok || page.roles == nil {
		return "/"
	}
	return next
}
