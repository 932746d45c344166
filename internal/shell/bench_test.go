package shell

import (
	"context"
	"os"
	"os/exec"
	"testing"
)

// BenchmarkStatus is status and echo of the linux-test package, its ip command answered here, and by dash.
func BenchmarkStatus(b *testing.B) {
	const path = "../../packages/linux-test"
	scripts, _ := CheckAll(path, os.ReadFile, globFiles, "status", "echo")
	sources := map[string]*Script{}
	for _, s := range scripts {
		sources[s.Path] = s
	}
	wd, err := os.Getwd()
	if err != nil {
		b.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	text := map[string]string{"uname": "Linux\n", "ip": answers["ip"]}
	commands := func(name string) Command {
		return func(_ context.Context, c *Call) (int, bool) {
			c.Stdout.Write([]byte(text[name]))
			return 0, true
		}
	}
	for _, args := range [][]string{{path, "status"}, {path, "echo", "pace"}} {
		b.Run(args[1], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, err := Run(context.Background(), scripts[0], Options{
					Args: args, Env: testEnv(wd), Dir: wd, Stdin: null, Stdout: null, Stderr: null, Umask: 0o022, Commands: commands,
					Source: func(file string) (*Script, error) {
						for _, s := range scripts[1:] {
							if same(file, wd+"/"+s.Path) {
								return s, nil
							}
						}
						return nil, os.ErrNotExist
					},
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(args[1]+" by dash", func(b *testing.B) {
			for b.Loop() {
				exec.Command("dash", args...).Run()
			}
		})
	}
}

func same(a, b string) bool {
	x, err := os.Stat(a)
	y, err2 := os.Stat(b)
	return err == nil && err2 == nil && os.SameFile(x, y)
}
