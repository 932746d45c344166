package native

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// systemDirs is where the system's own programs are. One by the same name that the PATH has elsewhere, as in
// /usr/local/bin or our utils/, was put there to be called instead.
var systemDirs = []string{"/bin", "/usr/bin", "/sbin", "/usr/sbin"}

// A kind says how a program is known: asked with that switch it says these words. It is asked once, and again
// when its file has changed.
type kind struct {
	ask  string   // "" asks nothing
	says []string // one of these is enough
	of   string   // ask the program of this name beside it; the program itself cannot be asked
}

// A finder finds the programs that calls mean, and remembers them.
type finder struct {
	asking sync.Mutex // held while a program is run, to see what it is
	mu     sync.Mutex
	paths  map[[3]string]found
	kinds  map[string]judged
}

// found is a program of a PATH, as long as the directories before it, and its own file, stay what they are.
type found struct {
	program stamp
	ok      bool
	files   []stamp
}

// A stamp tells whether a file or directory is what it was.
type stamp struct {
	path  string
	mtime time.Time
	size  int64
	inode uint64
}

type judged struct {
	file stamp
	is   bool
}

// settled is how long a directory must have been left alone before it is remembered: until then it could
// change again without another time of change.
const settled = 2 * time.Second

func stampOf(path string) (stamp, fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{path: path}, nil, err
	}
	return stamp{path, info.ModTime(), info.Size(), inode(info)}, info, nil
}

func (s stamp) holds() bool {
	now, _, _ := stampOf(s.path)
	return now == s
}

// program is the file of the program that c means by name; ok only if that is one of the system's own.
func (f *finder) program(c *Call, name string) (file stamp, ok bool) {
	if strings.Contains(c.Args[0], "/") {
		file, _, err := stampOf(c.path(c.Args[0]))
		return file, err == nil && slices.Contains(systemDirs, filepath.Dir(file.path)) && ownOf(file.path)
	}
	pathList, set := c.Env("PATH")
	if !set {
		return file, false
	}
	key := [3]string{pathList, name, ""}
	if !absolute(pathList) {
		key[2] = c.Dir
	}
	f.mu.Lock()
	was, known := f.paths[key]
	f.mu.Unlock()
	if known && !slices.ContainsFunc(was.files, func(s stamp) bool { return !s.holds() }) {
		return was.program, was.ok
	}
	got, keep := look(c, pathList, name)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paths == nil || len(f.paths) > 1000 {
		f.paths = map[[3]string]found{}
	}
	delete(f.paths, key)
	if keep {
		f.paths[key] = got
	}
	return got.program, got.ok
}

// absolute reports whether all directories of a PATH are.
func absolute(pathList string) bool {
	for dir := range strings.SplitSeq(pathList, ":") {
		if !strings.HasPrefix(dir, "/") {
			return false
		}
	}
	return true
}

// look goes through the PATH. What it finds may be kept unless something that it goes by is in motion.
func look(c *Call, pathList, name string) (got found, keep bool) {
	keep = true
	for dir := range strings.SplitSeq(pathList, ":") {
		if dir == "" {
			dir = "."
		}
		where, info, err := stampOf(c.path(dir))
		if err == nil && time.Since(info.ModTime()) < settled {
			keep = false
		}
		got.files = append(got.files, where)
		file, info, err := stampOf(where.path + "/" + name)
		if err != nil || info.IsDir() {
			continue
		}
		if !executable(file.path) { // it may become so, and no time of change says that
			keep = false
			continue
		}
		got.program, got.files = file, append(got.files, file)
		got.ok = slices.Contains(systemDirs, filepath.Clean(where.path)) && ownOf(file.path)
		return got, keep
	}
	return got, keep
}

// ownOf reports whether the file at the end of the links is the system's too.
func ownOf(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	return err == nil && slices.Contains(systemDirs, filepath.Dir(real))
}

// isKind reports whether the program in the file, as it was just now, is of that kind.
func (f *finder) isKind(ctx context.Context, file stamp, k kind) bool {
	if k.of != "" {
		var err error
		if file, _, err = stampOf(filepath.Join(filepath.Dir(file.path), k.of)); err != nil {
			return false
		}
	}
	key := file.path + "\x00" + k.ask + "\x00" + strings.Join(k.says, "\x00")
	if is, known := f.judged(key, file); known {
		return is
	}
	f.asking.Lock() // one asks for all
	defer f.asking.Unlock()
	if is, known := f.judged(key, file); known {
		return is
	}
	is, err := k.asked(ctx, file.path)
	if err != nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kinds == nil {
		f.kinds = map[string]judged{}
	}
	f.kinds[key] = judged{file, is}
	return is
}

// judged is what is known already.
func (f *finder) judged(key string, file stamp) (is, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was, known := f.kinds[key]
	return was.is, known && was.file == file
}

// asked asks the program at path. It fails where no answer can be had now.
func (k kind) asked(ctx context.Context, path string) (bool, error) {
	if k.ask == "" {
		return k.named(path), nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, k.ask)
	cmd.Env = []string{"LC_ALL=C"}
	cmd.Dir = "/"
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if cmd.ProcessState == nil {
		return false, err
	}
	return k.said(out), nil
}

// said reports whether the first line of the answer has the words.
func (k kind) said(out []byte) bool {
	first, _, _ := bytes.Cut(out, []byte("\n"))
	return slices.ContainsFunc(k.says, func(words string) bool { return bytes.Contains(first, []byte(words)) })
}

// named reports whether the file at the end of the links has one of the names: a program that has no switch
// to say what it is may be known by that.
func (k kind) named(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	return err == nil && slices.Contains(k.says, filepath.Base(real))
}
