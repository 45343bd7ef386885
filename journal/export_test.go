package journal

import "context"

// Flush writes what was counted.
func (u *Callers) Flush(ctx context.Context) error { return u.flush(ctx) }

// Days returns for how many credentials and days callers are told apart.
func (u *Callers) Days() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.days)
}
