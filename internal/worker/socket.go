package worker

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
)

// maxDescriptors is how many descriptors one message may carry.
const maxDescriptors = 3

// pair makes the two ends of a sequenced-packet socket: ours waits in the
// netpoller, theirs blocks.
func pair() (ours *net.UnixConn, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fault.New(fault.Exhausted, "worker.socket", "make a socket pair: %w", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "worker")
	file := os.NewFile(uintptr(fds[0]), "node")
	defer file.Close() //nolint:errcheck // FileConn has a copy
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, nil, errors.Join(fault.New(fault.Exhausted, "worker.socket", "make a socket pair: %w", err), theirs.Close())
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil, errors.Join(fault.New(fault.Internal, "worker.socket", "a socket pair of %T", conn), conn.Close(), theirs.Close())
	}
	return unixConn, theirs, nil
}

// send writes one message from the node's side.
func send(conn *net.UnixConn, message []byte, fds ...int) error {
	if len(fds) == 0 {
		_, err := conn.Write(message)
		return err
	}
	_, _, err := conn.WriteMsgUnix(message, unix.UnixRights(fds...), nil)
	return err
}

// post writes one message from the worker's side.
func post(fd int, message []byte) error {
	return retry(func() error { return unix.Sendmsg(fd, message, nil, nil, unix.MSG_NOSIGNAL) })
}

// errEnd says that the other side is gone.
var errEnd = errors.New("the socket ended")

// receive waits for one message on the worker's side. It returns errEnd at the
// end of the socket. The descriptors that came along belong to the caller, and
// are closed where receive fails.
func receive(fd int, buf, oob []byte) (message []byte, fds []int, err error) {
	var n, oobn, flags int
	err = retry(func() (err error) {
		n, oobn, flags, _, err = unix.Recvmsg(fd, buf, oob, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	switch {
	case err != nil && !errors.Is(err, unix.ECONNRESET):
		return nil, nil, fmt.Errorf("receive: %w", err)
	case err != nil || n == 0:
		return nil, nil, errEnd
	}
	if oobn > 0 {
		if fds, err = descriptors(oob[:oobn]); err != nil {
			return nil, nil, err
		}
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		shut(fds)
		return nil, nil, errors.New("receive: a message over its limit")
	}
	return buf[:n], fds, nil
}

func descriptors(oob []byte) (fds []int, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	for i := range messages {
		more, parseErr := unix.ParseUnixRights(&messages[i])
		fds, err = append(fds, more...), errors.Join(err, parseErr)
	}
	if err != nil {
		shut(fds)
		return nil, fmt.Errorf("receive descriptors: %w", err)
	}
	return fds, nil
}

// oobSize is the room that maxDescriptors take in a message.
func oobSize() int { return unix.CmsgSpace(maxDescriptors * 4) }

func shut(fds []int) {
	for _, fd := range fds {
		unix.Close(fd) //nolint:errcheck,gosec // nothing was written to it
	}
}

// retry repeats f while a signal interrupts it.
func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
