package cli

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"verge/client"
	"verge/internal/deploy"
	"verge/internal/fault"
	"verge/internal/version"
)

type deployCommand struct {
	orderFlags
	consentFlags

	Reason string        `placeholder:"TEXT" help:"Why, for the record."`
	Wait   time.Duration `default:"2s" placeholder:"TIME" help:"How long a node that does not answer may still be starting; 2s unless given."`
	Detach bool          `help:"Leave when the deployment has begun; verge watch follows it."`
	Queue  bool          `help:"Wait while another deployment of the model goes on, instead of being refused."`
	JSON   bool          `help:"Print events, one JSON object a line."`

	timeFlags
}

// consentFlags allow what is refused otherwise.
type consentFlags struct {
	Allow bool `name:"allow-signature-change" help:"Clients are ready for other inputs and outputs than those of the version that serves."`
	Retry bool `help:"Deploy bytes that were rolled back before."`

	Again bool   `help:"Deploy what serves already with the same files and the same configuration; else there is nothing to do."`
	Force string `placeholder:"REASON" help:"Why a stage is to take what it would refuse: a verdict that cannot tell, or bytes that staging has not seen."`
}

// Run deploys to the node, and follows until the end.
func (d *deployCommand) Run(c *call) error {
	defer d.limit(c)()
	order, err := d.read()
	if err != nil {
		return err
	}
	defer order.close()
	node, err := c.client()
	if err != nil {
		return err
	}
	defer node.Close()
	if err := c.await(node, d.Wait); err != nil {
		return err
	}
	return c.deploy(node, order, deployOptions{reason: d.Reason, json: d.JSON, detach: d.Detach, queue: d.Queue, consent: d.consentFlags})
}

// await waits for a node that may be starting: who types `verge serve &` deploys before
// it has opened its socket.
func (c *call) await(node *client.Client, patience time.Duration) error {
	const pause = 50 * time.Millisecond
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for begin := time.Now(); ; {
		err := node.Live(c)
		switch {
		case !errors.Is(err, client.ErrUnreachable):
			return nil // somebody answers; what is wrong shows when it matters
		case errors.Is(err, fs.ErrPermission), time.Since(begin) > patience:
			return err
		}
		select {
		case <-ticker.C:
		case <-c.Done():
			return err
		}
	}
}

// deployOptions say how a deployment is asked for and shown.
type deployOptions struct {
	reason  string
	json    bool
	detach  bool // do not follow
	queue   bool // wait for the deployment that goes on
	consent consentFlags
	own     bool // the node is this process, and ends with the command
}

// quickly is how many bytes are sent to a node without a look at them: it finds all that
// is wrong with them at once, and keeps that with the deployment.
const quickly = 16 << 20

// look finds what the node would refuse for large files alone, before they are sent. A
// node of another version may know formats that this one does not, so that it is left to
// it.
func (c *call) look(node *client.Client, o *order) error {
	if o.size() <= quickly {
		return nil
	}
	if is, err := node.ServerMetadata(c); err != nil || is.Version != version.Version {
		return nil //nolint:nilerr // whether it answers shows when it matters
	}
	return deploy.CheckFiles(o.file, o.modelFile(), o.variants())
}

// deploy looks at large files, uploads what the node lacks, begins the deployment and tells
// what happens until it has ended.
func (c *call) deploy(node *client.Client, o *order, options deployOptions) error {
	if err := c.look(node, o); err != nil {
		return about(o.path, err)
	}
	view := newView(c.std, options.json)
	defer view.close()
	digests, err := c.upload(node, o, view)
	if err != nil {
		return err
	}
	req, err := o.request(options.reason, digests)
	if err != nil {
		return err
	}
	req.Queue, req.Retry, req.Again = options.queue, options.consent.Retry, options.consent.Again
	req.AllowSignatureChange, req.ForceReason = options.consent.Allow, options.consent.Force
	d, err := c.begin(node, req, options.own)
	if err != nil {
		return about(o.path, err)
	}
	if options.detach && options.json {
		return c.printJSON(d)
	}
	if d.NothingToDo && !options.json {
		c.print("%s serves already, with the same files and the same configuration: nothing to do (--again deploys them anew)\n", d.Serves)
		return nil
	}
	view.begin(d)
	if options.detach {
		return nil
	}
	f := follower{call: c, node: node, id: d.ID, view: view, own: options.own}
	return f.follow()
}

// begin asks for the deployment. An own node may still be loading the version that
// served when it ended: then begin waits for that.
func (c *call) begin(node *client.Client, req client.DeploymentRequest, own bool) (*client.Deployment, error) {
	ctx, cancel := c.lingering() // a deployment that has begun must be known, to be canceled
	defer cancel()
	const pause = 100 * time.Millisecond
	for {
		d, err := node.Deploy(ctx, req)
		if err == nil || !own || kindOf(err) != fault.Conflict {
			return d, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-c.Done():
			timer.Stop()
			return nil, fault.New(fault.Canceled, "cli.begin", "%w", context.Cause(c.Context))
		}
	}
}

// upload sends the files that the node does not have.
func (c *call) upload(node *client.Client, o *order, view view) (map[string]string, error) {
	digests := map[string]string{}
	for _, f := range o.files {
		digest, err := f.digest()
		if err != nil {
			return nil, err
		}
		digests[f.role] = digest
		progress := func(sent, total int64) { view.upload(f.role, sent, total) }
		if err := node.PutArtifact(c, digest, f.handle, f.size, progress); err != nil {
			return nil, err
		}
	}
	return digests, nil
}
