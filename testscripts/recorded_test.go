package testscripts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestRecorded runs the modules through the stories of recorded/modules.txt: what they answer, say and
// leave is what was recorded there, and what differs from the original has its row in doc/differences.md. All
// stories are told twice: by dash, and by the embedded shell.
func TestRecorded(t *testing.T) {
	t.Parallel()
	rememberFiles(t, "recorded/package", "recorded/bin/*", "../modules/*")
	stories, err := os.ReadFile("recorded/modules.txt")
	if err != nil {
		t.Fatal(err)
	}
	differences, err := os.ReadFile("../doc/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	for story := range strings.SplitSeq(string(stories), "\n== ") {
		title, lines, _ := strings.Cut(story, "\n")
		if strings.HasPrefix(title, "#") {
			continue
		}
		for _, shell := range []string{"dash", "embedded"} {
			t.Run(title+"/"+shell, func(t *testing.T) {
				t.Parallel()
				module, _, _ := strings.Cut(title, ":")
				module, needsRoot := strings.CutSuffix(module, " (root)")
				if needsRoot && os.Getuid() != 0 {
					t.Skip("needs root")
				}
				r := newRecorded(t, module, needsRoot)
				r.shell = shell
				for line := range strings.Lines(lines) {
					if line = strings.TrimSpace(line); line != "" {
						r.line(line, string(differences))
					}
				}
			})
		}
	}
}

// rememberFiles reads the files that only other programs read here, so that the go command knows that
// this test depends on them, and does not take an earlier result.
func rememberFiles(t *testing.T, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			if _, err := os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// recorded is a host on which one story is told.
type recorded struct {
	t     *testing.T
	work  string
	shell string
	env   []string
	ns    int               // a process in the mount namespace of the host; 0 for this test's own
	disks map[string]string // their names in the stories, by device
	held  *exec.Cmd         // who stands in a directory
}

func newRecorded(t *testing.T, module string, mounts bool) *recorded {
	t.Helper()
	here, err := filepath.Abs(".")
	r := &recorded{t: t, work: t.TempDir(), disks: map[string]string{}}
	r.must(err)
	for _, dir := range []string{"state", "packages", "mnt/a", "mnt/b"} {
		r.must(os.MkdirAll(filepath.Join(r.work, dir), 0o755))
	}
	r.must(os.Symlink(filepath.Join(here, "../modules"), filepath.Join(r.work, "packages/modules")))
	text, err := os.ReadFile("recorded/package")
	r.must(err)
	r.must(os.WriteFile(filepath.Join(r.work, "packages/t"), bytes.ReplaceAll(text, []byte("MODULE"), []byte(module)), 0o700))
	r.write("packages/params", "")
	r.env = append(os.Environ(), "PATH="+filepath.Join(here, "recorded/bin")+":"+os.Getenv("PATH"),
		"STATE="+filepath.Join(r.work, "state"), "WORK="+r.work)
	if mounts {
		r.mountNamespace()
	}
	return r
}

// mountNamespace gives the host mounts of its own, and two disks.
func (r *recorded) mountNamespace() {
	for _, name := range []string{"one", "two"} {
		image := filepath.Join(r.work, name)
		r.must(os.WriteFile(image, nil, 0o600))
		r.must(os.Truncate(image, 4<<20))
		r.command("mkfs.ext4", "-q", image)
		device := strings.TrimSpace(r.command("losetup", "-f", "--show", image))
		r.t.Cleanup(func() { r.command("losetup", "-d", device) })
		r.disks[device] = name
		r.env = append(r.env, strings.ToUpper(name)+"="+device)
	}
	holder := exec.Command("unshare", "-m", "sh", "-c", "echo ; exec sleep 1000") // with its end, the mounts end
	out, err := holder.StdoutPipe()
	r.must(err)
	r.must(holder.Start())
	r.t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	_, err = out.Read(make([]byte, 1))
	r.must(err)
	r.ns = holder.Process.Pid
}

func (r *recorded) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *recorded) write(file, text string) {
	r.t.Helper()
	r.must(os.WriteFile(filepath.Join(r.work, file), []byte(text), 0o644))
}

func (r *recorded) command(args ...string) string {
	r.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// inside is a command on the host.
func (r *recorded) inside(args ...string) *exec.Cmd {
	if r.ns != 0 {
		args = append([]string{"nsenter", "-m", "-t", strconv.Itoa(r.ns), "sh", "-c", `cd "$0" && exec "$@"`, r.work}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = r.work, r.env
	return cmd
}

// line does what a line of the story says.
func (r *recorded) line(line, differences string) {
	r.t.Helper()
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "#":
	case "set":
		r.write("packages/params", rest+"\n")
	case "given":
		r.given(rest)
	case "hold":
		r.hold(rest)
	default:
		r.step(line, differences)
	}
}

func (r *recorded) given(what string) {
	r.t.Helper()
	file, text, _ := strings.Cut(what, " ")
	switch {
	case file == "mount":
		disk, dir, _ := strings.Cut(text, " ")
		for device, name := range r.disks {
			if name == disk {
				r.must(r.inside("mount", device, filepath.Join(r.work, "mnt", dir)).Run())
			}
		}
	case text == "-":
		r.must(os.RemoveAll(filepath.Join(r.work, "state", file)))
	default:
		r.write("state/"+file, strings.ReplaceAll(text, ", ", "\n")+"\n")
	}
}

// hold has a process stand in a directory, until it is ended.
func (r *recorded) hold(dir string) {
	r.t.Helper()
	r.held = r.inside("sh", "-c", `cd "$1" && echo && exec sleep 1000`, "sh", filepath.Join(r.work, "mnt", dir))
	out, err := r.held.StdoutPipe()
	r.must(err)
	r.must(r.held.Start())
	_, err = out.Read(make([]byte, 1))
	r.must(err)
	r.t.Cleanup(func() { _ = r.held.Process.Kill(); _ = r.held.Wait() })
}

// step runs one action: ACTION STATUS; says TEXT; has FACT, FACT; differs ROW.
func (r *recorded) step(line, differences string) {
	r.t.Helper()
	var action string
	var want int
	parts := strings.Split(line, "; ")
	if _, err := fmt.Sscanf(parts[0], "%s %d", &action, &want); err != nil {
		r.t.Fatalf("not a step: %q", line)
	}
	out, status := r.act(action)
	if status != want {
		r.t.Errorf("%s\nexit %d, and says:\n%s", line, status, out)
	}
	known := false
	for _, part := range parts[1:] {
		kind, text, _ := strings.Cut(part, " ")
		switch kind {
		case "says":
			if (text == "-" && out != "") || (text != "-" && !strings.Contains(out, text)) {
				r.t.Errorf("%s\nsays:\n%s", line, out)
			}
		case "has":
			known = true
			if got := r.facts(); got != text {
				r.t.Errorf("%s\nhas %s, and says:\n%s", line, got, out)
			}
		case "differs":
			if !strings.Contains(differences, "| "+text+" |") {
				r.t.Errorf("%s\ndoc/differences.md has no row %s", line, text)
			}
		default:
			r.t.Fatalf("not a step: %q", line)
		}
	}
	if !known {
		r.t.Errorf("%s\ndoes not say what there is afterwards", line)
	}
}

func (r *recorded) act(action string) (out string, status int) {
	r.t.Helper()
	by := []string{"dash"}
	if r.shell == "embedded" {
		by = []string{"btw", "run-script", "2", strconv.Itoa(os.Getpid()), "embedded", r.work}
	}
	cmd := r.inside(append(by, "packages/t", action, "h2")...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Run(); cmd.ProcessState == nil {
		r.t.Fatal(err)
	}
	if strings.Contains(b.String(), "the embedded shell") {
		r.t.Errorf("%s: %s", action, b.String())
	}
	return b.String(), cmd.ProcessState.ExitCode()
}

// facts is all that there is now: what the programs have noted, what is mounted, who holds it.
func (r *recorded) facts() string {
	has, _ := os.ReadFile(filepath.Join(r.work, "state/has"))
	facts := slices.Collect(strings.Lines(string(has)))
	if r.ns != 0 {
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", r.ns))
		r.must(err)
		for line := range strings.Lines(string(mounts)) {
			if f := strings.Fields(line); r.disks[f[0]] != "" {
				facts = append(facts, r.disks[f[0]]+" on "+filepath.Base(f[1]))
			}
		}
	}
	if r.held != nil && !r.ended() {
		facts = append(facts, "held")
	}
	for i := range facts {
		facts[i] = strings.TrimSpace(facts[i])
	}
	slices.Sort(facts)
	if len(facts) == 0 {
		return "-"
	}
	return strings.Join(facts, ", ")
}

// ended says whether the holder has ended: it is a zombie until it is waited for.
func (r *recorded) ended() bool {
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(r.held.Process.Pid, &status, syscall.WNOHANG, nil)
	return err != nil || pid != 0
}
