package litert

import (
	"context"

	"verge/internal/fault"
	"verge/internal/tensor"
)

// run implements runner. Outputs whose size follows from values may not fit where
// they are to go; then the run is made again with enough.
func (c *compiled) run(ctx context.Context, n *slot) error {
	const op = "litert.run"
	if !c.out.made {
		if err := c.prepare(n); err != nil {
			return err
		}
	}
	const attempts = 4 // after each, one more output may have told its shape
	for range attempts {
		f := n.call(ctx)
		switch {
		case f == nil:
			if f = c.prove(); f != nil {
				return refuse(f).On(n.session.subject)
			}
			return c.answer(n)
		case f.canceled() && ctx.Err() != nil:
			return ended(ctx, op).On(n.session.subject)
		case !f.tooSmall():
			return refuse(f).On(n.session.subject)
		}
		if n.session.info.Stateful {
			return c.unrepeatable(n)
		}
		if err := c.grow(n); err != nil {
			return err
		}
	}
	return fault.New(fault.Internal, op, "the shapes of the outputs changed %d times in one run", attempts).On(n.session.subject)
}

// prove finds out, once for each set of shapes, whether the run that has succeeded has
// written the outputs where it was told to. An operator that is made ready only while
// the model runs may choose memory of its own, and the library says nothing: it
// refuses the next run. So it is told to run again and to give up before the first
// operator, which changes no value.
func (c *compiled) prove() *failure {
	if c.proved {
		return nil
	}
	c.giveUp(true)
	f := c.invoke()
	c.giveUp(false)
	if f != nil && !f.canceled() {
		return f
	}
	c.proved = true
	return nil
}

// refuse says why a run failed.
func refuse(f *failure) *fault.Error {
	if f.ownShape() {
		return fault.New(fault.Unsupported, "litert.run", "an output takes its shape from values, right where an operator makes it, which LiteRT's interface cannot give").
			WithHint("Run the model in another runtime (deployment.runtime: openvino or tflite).")
	}
	return f.fault(f.runKind(), "litert.run")
}

// expect sets the shapes and sizes of the outputs to those that the library told.
func (c *compiled) expect(n *slot) error {
	for i := range n.out.tensors {
		t := &n.out.tensors[i]
		t.Shape = c.outputs[i].appendShape(t.Shape[:0])
		size, err := tensor.ByteSize(t.DType, t.Shape)
		if err != nil {
			return fault.New(fault.Internal, "litert.run", "output %q: %w", t.Name, err).On(n.session.subject)
		}
		n.out.sizes[i] = size
	}
	return nil
}

// prepare makes the buffers of the outputs, in the arena.
func (c *compiled) prepare(n *slot) error {
	if err := c.expect(n); err != nil {
		return err
	}
	if err := n.place(); err != nil {
		return err
	}
	if f := c.out.over(c.api, &n.out); f != nil {
		return f.fault(fault.Exhausted, "litert.run").On(n.session.subject)
	}
	return nil
}

// grow learns the shapes of outputs that did not fit where they were to go, and
// makes room for them.
func (c *compiled) grow(n *slot) error {
	c.out.free(c.api)
	if f := c.layouts(false); f != nil {
		return f.fault(fault.Internal, "litert.run").On(n.session.subject)
	}
	if err := c.prepare(n); err != nil {
		return c.abandon(n, err)
	}
	return nil
}

// abandon returns err, or why the runner could not be replaced: the library would ask
// the next run for as much, until it is compiled anew.
func (c *compiled) abandon(n *slot, err error) error {
	n.laid = false
	if renewErr := n.renew(); renewErr != nil {
		return renewErr
	}
	return err
}

// unrepeatable refuses to make a run again that has changed what the model keeps.
func (c *compiled) unrepeatable(n *slot) error {
	return c.abandon(n, fault.New(fault.Unsupported, "litert.run",
		"an output takes its shape from values, and the model keeps values from one run to the next, of which LiteRT's interface can give one only").
		On(n.session.subject).WithHint("Set deployment.runtime to tflite."))
}

// answer shows the outputs of a run in the shapes that they came out in.
func (c *compiled) answer(n *slot) error {
	const op = "litert.run"
	if f := c.layouts(false); f != nil {
		return f.fault(fault.Internal, op).On(n.session.subject)
	}
	for i := range n.out.tensors {
		if c.outputs[i].equal(n.out.tensors[i].Shape) {
			continue
		}
		if err := c.expect(n); err != nil {
			return err
		}
		for k := range n.out.tensors {
			if n.out.sizes[k] > n.out.room[k] {
				return fault.New(fault.Internal, op, "output %q has %d bytes, its place has %d", n.out.tensors[k].Name, n.out.sizes[k], n.out.room[k]).
					On(n.session.subject)
			}
			n.out.show(k)
		}
		break
	}
	return nil
}
