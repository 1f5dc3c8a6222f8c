package config

import "maps"

// Watcher reads a config again when it, or a secret file it refers to, says something else. It has no goroutine and
// no lock: one goroutine calls Poll.
type Watcher struct {
	path    string
	env     func(string) (string, bool)
	current *Config
	good    *files // what current was made of
	files   *files // what the last reading was made of; nil before the first
}

// NewWatcher watches the config at path; env is os.LookupEnv, or a test's. The first Poll reads it.
func NewWatcher(path string, env func(string) (string, bool)) *Watcher {
	return &Watcher{path: path, env: env}
}

// Poll returns the config in force (nil before a first good one) and whether this call put it in force. A config
// that is broken is returned as an error once, again when it is broken in another way, and the one before stays in force.
// Only what files say counts, not when they were written.
func (w *Watcher) Poll() (cfg *Config, changed bool, err error) {
	if w.files != nil && !w.files.changed() {
		return w.current, false, nil
	}
	w.files = newFiles(w.env)
	cfg, err = load(w.path, w.files)
	if err != nil {
		return w.current, false, err
	}
	if w.good != nil && maps.Equal(w.good.seen, w.files.seen) {
		return w.current, false, nil // mended by taking the change back
	}
	w.current, w.good = cfg, w.files
	return cfg, true, nil
}
