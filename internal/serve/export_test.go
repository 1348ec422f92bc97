package serve

import "time"

// Leave is leave of a version that usually takes so long.
func Leave(usual, left time.Duration) time.Duration {
	var v Version
	v.usual.Store(int64(usual))
	return v.leave(left)
}
