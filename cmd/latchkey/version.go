package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// programVersion is what is known of the program's origin.
type programVersion struct {
	Version  string `json:"version"`  // of the module
	Go       string `json:"go"`       // that built it
	Revision string `json:"revision"` // of the source, "+dirty" if it was changed; may be empty
}

func readVersion() programVersion {
	v := programVersion{Version: "(devel)", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	dirty := false
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.Revision = setting.Value
		case "vcs.modified":
			dirty = setting.Value == "true"
		}
	}
	if dirty && v.Revision != "" {
		v.Revision += "+dirty"
	}
	return v
}

// version returns the module's version.
func version() string { return readVersion().Version }

type versionCmd struct{}

// Run prints the version.
func (c *versionCmd) Run(s *session) error {
	v := readVersion()
	return s.show(v, func(w io.Writer) {
		fmt.Fprintf(w, "latchkey %s (%s", v.Version, v.Go)
		if v.Revision != "" {
			fmt.Fprintf(w, ", revision %s", v.Revision)
		}
		fmt.Fprintln(w, ")")
	})
}
