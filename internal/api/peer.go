package api

import (
	"context"
	"net"

	"golang.org/x/sys/unix"
)

// Peer is the process at the other end of a Unix socket, as the kernel noted it when the
// connection was made.
type Peer struct{ UID, GID, PID int }

// peerKey is the key of a Peer in a context.
type peerKey struct{}

// WithPeer adds to the context of a connection who is at its other end, where the kernel
// says that.
func WithPeer(ctx context.Context, conn net.Conn) context.Context {
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := unixConn.SyscallConn()
	if err != nil {
		return ctx
	}
	var credentials *unix.Ucred
	failed := raw.Control(func(fd uintptr) {
		credentials, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if failed != nil || err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, Peer{UID: int(credentials.Uid), GID: int(credentials.Gid), PID: int(credentials.Pid)})
}

// PeerOf returns who is at the other end of a request's connection; ok is false where
// that is not a Unix socket.
func PeerOf(ctx context.Context) (p Peer, ok bool) {
	p, ok = ctx.Value(peerKey{}).(Peer)
	return p, ok
}
