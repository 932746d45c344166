package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"backtowork/internal/command"
	"backtowork/internal/conf"
	"backtowork/internal/lock"
	"backtowork/internal/lockclient"

	"golang.org/x/sys/unix"
)

// nodeIsDown acts on the user's word that a node is off. If the node has the lock k, blocked or
// not, others may then have it; if it lost the lock in silence, it need not be powered off any
// more. The servers refuse that for a node from which they hear.
func (s *site) nodeIsDown(ctx context.Context, c *lockclient.Client, name string, k lock.Lock, down string) error {
	node, err := saidDown(k, down)
	unfenced := slices.Contains(k.Unfenced.All(), node)
	switch {
	case err != nil:
		return err
	case node == s.Node:
		return command.WithHint(errors.New("this is that node: it is not down"), "service unblock %s", name)
	case k.Held() && k.Node == node:
		if err := s.certain(name, k.Node); err != nil {
			return err
		}
		if k.Blocked == "" {
			return s.declareOff(ctx, c, name, k)
		}
		return s.free(ctx, c, name, k)
	case unfenced:
		if err := s.certain(name, node); err != nil {
			return err
		}
		return s.isOff(ctx, c, name, k, node)
	case k.Held() && k.Blocked != "":
		return fmt.Errorf("the lock of package %s is blocked by %s, not by %s", name, k.Node, down)
	}
	return notBlocked(name, k)
}

// saidDown is which of the nodes that have lock k, or lost it in silence, the user means by down; "" for none.
func saidDown(k lock.Lock, down string) (string, error) {
	nodes := k.Unfenced.All()
	if k.Held() {
		nodes = append([]string{k.Node}, nodes...)
	}
	if slices.Contains(nodes, down) { // to the lock servers names in other letters are other nodes
		return down, nil
	}
	switch meant := conf.Called(nodes, down); len(meant) {
	case 0:
		return "", nil
	case 1:
		return meant[0], nil
	default:
		return "", fmt.Errorf("--node-is-down %s may be each of %s: give the name in full; nothing was done", down, strings.Join(meant, " and "))
	}
}

// certain asks a user at a terminal to type the name of the node that is said to be off.
func (s *site) certain(name, node string) error {
	in, ok := s.env.Stdin.(*os.File)
	if !ok {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(in.Fd()), getTermios); err != nil {
		return nil // no terminal: the option is the word
	}
	fmt.Fprintf(s.env.Stdout, "If %s is not off, package %s may come to run twice. Look at its power first.\nType %q to go on: ", node, name, node)
	said, err := bufio.NewReader(in).ReadString('\n')
	if strings.TrimSpace(said) != node {
		return errors.Join(errors.New("given up: nothing was changed"), ignoreEOF(err))
	}
	return nil
}

// isUp says that a node is not off, and what to do.
func (s *site) isUp(name, why, node string) error {
	return command.WithHint(fmt.Errorf("%s: nothing was done", why),
		"on %s: service unblock %s, or service stop %s, or stop the package there by hand", node, name, name)
}

// isOff takes node, which lost lock k in silence, off the list of nodes to be powered off before
// the lock's next holder starts.
func (s *site) isOff(ctx context.Context, c *lockclient.Client, name string, k lock.Lock, node string) error {
	a, err := c.IsOff(ctx, name, k, node)
	switch {
	case err != nil:
		return err
	case a.Refused != "":
		return s.isUp(name, a.Refused, node)
	case !a.Changed:
		return changedMeanwhile(name)
	}
	fmt.Fprintf(s.env.Stdout, "%s need not be powered off any more before package %s starts.\n", node, name)
	return nil
}

// fencingLimit is how long to wait for a fence that another node is doing. If it takes longer, the
// node most likely cannot report its result any more, and has gone to stand-by.
const fencingLimit = 2 * time.Minute

// declareOff makes the lock of a silent node free at once, on the user's word that the node is off.
// It counts as a fence that worked, and is for fences that fail (fence_required=yes).
func (s *site) declareOff(ctx context.Context, c *lockclient.Client, name string, k lock.Lock) error {
	session := lockclient.NewSession(c, s.Node, s.files)
	end := time.Now().Add(fencingLimit)
	for told := false; ; told = true {
		state, err := session.DeclareOff(ctx, name, k)
		switch {
		case errors.Is(err, lockclient.ErrBeingFenced) && time.Now().Before(end):
			if !told {
				fmt.Fprintf(s.env.Stderr, "%s: %v: waiting for that (a minute or so).\n", s.env.Name, err)
			}
			select {
			case <-time.After(time.Second):
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		case errors.Is(err, lockclient.ErrNotSilent):
			return s.isUp(name, fmt.Sprintf("%s was heard %g s ago, or stands by", k.Node,
				(time.Duration(state.Silent)*time.Millisecond).Round(100*time.Millisecond).Seconds()), k.Node)
		case err != nil:
			return err
		}
		fmt.Fprintf(s.env.Stdout, "package %s may be had by other nodes.\n", name)
		return nil
	}
}
