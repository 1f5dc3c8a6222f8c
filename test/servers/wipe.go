package servers

import "os"

// Wipe ends the server as kill -9 does, deletes everything it kept, and starts a new one at the same address: with other ids, and without the
// tokens that were made. Its Org, OrgID, BucketID and Token are the new ones.
func (s *Server) Wipe() error {
	s.Kill()
	if err := os.RemoveAll(s.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	return s.setup()
}
