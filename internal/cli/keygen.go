package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"backtowork/internal/clusterkey"
	"backtowork/internal/command"
	"backtowork/internal/conf"
)

var keygenUsage = `Usage: keygen [--show | --add | --switch | --drop | --curl [DIR]]

Makes conf/cluster_key, the secret that every host of the cluster has. It never overwrites one.
  --show    print the fingerprint of each key that is trusted; the first one signs
  --curl    write a client certificate for curl (ca.pem, cert.pem, key.pem) into DIR, or else
            conf/curl, and print the curl line
To change the key while everything runs, copy the file to every host after each of these; what runs
there takes it up by itself, and says so in its log. Go on when every host has it:
  --add     add a new key: it is trusted, the old one still signs
  --switch  let the new key sign; the old one is still trusted
  --drop    trust the key that does not sign no more; connections made with it live on until
            they pause, or dex-server is restarted

Example: keygen && scp -p conf/cluster_key host2:/opt/shell-cluster-suite/back-to-work/conf/
`

// keygen makes, shows or changes the cluster's key.
func keygen(_ context.Context, env *command.Env) error {
	path := conf.Site{Home: env.Home}.KeyFile()
	if len(env.Args) == 0 {
		return newKey(env, path)
	}
	verb, rest := env.Args[0], env.Args[1:]
	if verb == "--curl" && len(rest) <= 1 {
		return keygenCurl(env, path, append(rest, filepath.Join(env.Home, "conf/curl"))[0])
	}
	steps := map[string]func(*command.Env, string) error{
		"--show": showKey, "--add": addKey, "--switch": switchKey, "--drop": dropKey,
	}
	step := steps[verb]
	switch {
	case step == nil && verb != "--curl":
		return command.Usagef("no such option: %q", verb)
	case len(rest) > 0:
		return command.UsageError("too many arguments")
	}
	return step(env, path)
}

// copyIt is the next step after every change of the file.
const copyIt = "next: copy %s, with mode 0600, to conf/ of every host%s\n"

func newKey(env *command.Env, path string) error {
	k, err := clusterkey.Create(path)
	if errors.Is(err, fs.ErrExist) {
		return command.WithHint(fmt.Errorf("there is a cluster key already: %s", path),
			"to change it while everything runs: keygen --add, then --switch, then --drop")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "fingerprint: %s\n"+copyIt, k.Fingerprint(), path, "")
	return nil
}

// loadKey reads the key, and says how to get one if there is none.
func loadKey(path string) (*clusterkey.Key, error) {
	k, err := clusterkey.Load(path)
	return k, hintKeygen(err)
}

func hintKeygen(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return command.WithHint(err, "make one with keygen, or copy the file from a host that has it")
	case errors.Is(err, clusterkey.ErrTwoKeys):
		return command.WithHint(err, "finish the last change first: keygen --switch unless the new key signs already, then keygen --drop")
	case errors.Is(err, clusterkey.ErrOneKey):
		return command.WithHint(err, "a change of key begins with keygen --add")
	}
	return err
}

func showKey(env *command.Env, path string) error {
	k, err := loadKey(path)
	if err != nil {
		return err
	}
	for _, fingerprint := range k.Fingerprints() {
		fmt.Fprintln(env.Stdout, fingerprint)
	}
	return nil
}

func addKey(env *command.Env, path string) error {
	k, err := clusterkey.Add(path)
	if err != nil {
		return hintKeygen(err)
	}
	both := k.Fingerprints()
	fmt.Fprintf(env.Stdout, "signs: %s\ntrusted too: %s\n"+copyIt, both[0], both[1], path,
		"; 5 seconds later or more, keygen --switch")
	return nil
}

func switchKey(env *command.Env, path string) error {
	k, err := clusterkey.Switch(path)
	if err != nil {
		return hintKeygen(err)
	}
	both := k.Fingerprints()
	fmt.Fprintf(env.Stdout, "signs: %s\ntrusted too: %s\n"+copyIt, both[0], both[1], path,
		"; 5 seconds later or more, keygen --drop")
	return nil
}

func dropKey(env *command.Env, path string) error {
	old, err := loadKey(path)
	if err != nil {
		return err
	}
	k, err := clusterkey.Drop(path)
	if err != nil {
		return hintKeygen(err)
	}
	fmt.Fprintf(env.Stdout, "signs: %s\nnot trusted any more: %s\n"+copyIt, k.Fingerprint(), old.Fingerprints()[1], path, "")
	return nil
}

// keygenCurl writes a client certificate into dir, and prints how curl asks the first lock server.
func keygenCurl(env *command.Env, path, dir string) error {
	s, err := openSite(env)
	if err != nil {
		return err
	}
	servers, err := s.LockServers()
	if err != nil {
		return err
	}
	if len(servers) == 0 {
		return errors.New("cannot write a curl line: conf/lock_servers of dex-lock names no server")
	}
	k, err := loadKey(path)
	if err != nil {
		return err
	}
	ca, cert, key, err := k.WriteClient(dir, "curl")
	if err != nil {
		return err
	}
	at := servers[0]
	fmt.Fprintf(env.Stdout, "curl --cacert %s --cert %s --key %s --connect-to %s:%s:%s https://%s:%s/v1/server\n",
		shellWord(ca), shellWord(cert), shellWord(key), clusterkey.Host, at.Port, at.Addr(), clusterkey.Host, at.Port)
	return nil
}

// shellWord writes s so that a shell reads it as one word.
func shellWord(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@,", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
