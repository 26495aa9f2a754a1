package systemd

// supported is an error where there can be no systemd.
func supported() error { return nil }
