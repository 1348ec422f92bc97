package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"verge/internal/fault"
	"verge/internal/inference"
	"verge/internal/native"
)

// Open opens the inference library of that name. The program that calls Main has
// a table of them.
type Open func(name, library string, log *slog.Logger) (inference.Runtime, error)

// The descriptors that a worker is started with.
const (
	workFD    = 3
	controlFD = 4
)

// Main is a worker process, from its first instruction to its last: it opens the
// library and loads the model that the node asks for, and runs it until the node
// says stop, or is gone, or ctx ends. It fails with fault.Invalid when the process
// was not started by a Host. The process ends after it; whatever still goes on
// ends with it.
func Main(ctx context.Context, open Open) error {
	for _, fd := range []int{workFD, controlFD} {
		if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || kind != unix.SOCK_SEQPACKET {
			return fault.New(fault.Invalid, "worker.main", "descriptor %d is no socket of a node", fd).
				WithHint("This command is started by verge serve, not by hand.")
		}
		unix.CloseOnExec(fd)
	}
	c := &child{slots: map[uint32]*place{}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2) // from listen, and from serve when it fails
	go func() { ended <- c.listen(ctx, open, ended) }()
	select {
	case err := <-ended:
		cancel()
		return errors.Join(err, c.close())
	case <-ctx.Done():
		return nil
	}
}

// listen reads what the node says on the control socket, until it says stop or
// is gone.
func (c *child) listen(ctx context.Context, open Open, failed chan<- error) error {
	buf, oob := make([]byte, headerSize+maxDocument), make([]byte, oobSize())
	begun := false
	for {
		message, fds, err := receive(controlFD, buf, oob)
		if errors.Is(err, errEnd) {
			return nil
		}
		if err != nil {
			return err
		}
		h, body, err := parse(message)
		if err != nil || h.op != opLoad {
			shut(fds)
		}
		switch {
		case err != nil:
			return err
		case h.op == opLoad && !begun:
			begun = true
			var o order
			if err := json.Unmarshal(body, &o); err != nil {
				return fmt.Errorf("read the order: %w", err)
			}
			go func() {
				if err := c.serve(ctx, open, o, fds); err != nil {
					failed <- err
				}
			}()
		case h.op == opCancel:
			c.cancel(h.slot, h.sequence)
		case h.op == opCloseSlot:
			c.closeSlot(h.slot)
		case h.op == opPing:
			if err := post(controlFD, header{op: opPong, sequence: h.sequence}.append(nil)); err != nil {
				return err
			}
		case h.op == opStop:
			return nil
		default:
			return fmt.Errorf("a message of kind %d on the control socket", h.op)
		}
	}
}

// serve loads what the order says, reports, and starts the threads that run it.
func (c *child) serve(ctx context.Context, open Open, o order, fds []int) error {
	r, err := c.load(ctx, open, o, fds)
	var body []byte
	if err == nil {
		body, err = r.encode()
	}
	if err != nil {
		body = appendError(nil, err)
		h := header{op: opFailed, status: uint32(fault.KindOf(err)), size: uint64(len(body))}
		return post(controlFD, append(h.append(nil), body...)) // the node says stop then
	}
	if err := post(controlFD, append(header{op: opLoaded, size: uint64(len(body))}.append(nil), body...)); err != nil || c.session == nil {
		return err
	}
	parallel := max(o.Options.Parallel, 1)
	runtime.GOMAXPROCS(parallel + 1)
	for range parallel {
		go c.work(ctx) // ends with the process
	}
	return nil
}

// load opens the library, and the model in it where there is one.
func (c *child) load(ctx context.Context, open Open, o order, fds []int) (report, error) {
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: o.Options.LogLevel}))
	library, err := open(o.Runtime, o.Library, log)
	if err != nil {
		return report{}, err
	}
	r := report{Library: library.Info()}
	if o.Model == "" && o.Size == 0 {
		return r, nil
	}
	model, err := o.open(fds)
	if err != nil {
		return report{}, err
	}
	o.Options.Log = log
	session, err := library.Load(ctx, model, o.Options)
	if err != nil {
		return report{}, err
	}
	r.Signature, r.Session = session.Signature(), session.Info()
	c.set(session)
	return r, nil
}

// open maps the model's files, and takes their descriptors over. They stay mapped as
// long as the process.
func (o order) open(fds []int) (inference.Model, error) {
	const op = "worker.load"
	sizes := []int64{o.Size}
	if o.Weights > 0 {
		sizes = append(sizes, o.Weights)
	}
	if len(fds) != len(sizes) {
		shut(fds)
		return inference.Model{}, fault.New(fault.Internal, op, "an order with %d descriptors, want %d", len(fds), len(sizes))
	}
	var files []inference.Memory
	for i, fd := range fds {
		memory, err := native.MapMemory(fd, sizes[i], false)
		if err != nil {
			shut(fds[i+1:])
			return inference.Model{}, err
		}
		if got := int64(len(memory.Bytes())); got != sizes[i] {
			shut(fds[i+1:])
			return inference.Model{}, fault.New(fault.Internal, op, "file %d of the model has %d bytes, the order says %d", i, got, sizes[i])
		}
		files = append(files, inference.Memory{Data: memory.Bytes(), FD: memory.FD()})
	}
	model := inference.Model{Name: o.Model, Data: files[0].Data, FD: files[0].FD, Digest: o.Digest}
	if len(files) > 1 {
		model.Weights = &files[1]
	}
	return model, nil
}
