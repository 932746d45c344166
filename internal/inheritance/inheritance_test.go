package inheritance

import (
	"os/user"
	"slices"
	"strings"
	"testing"
)

// What changes the meaning of a script, or is the caller's session, is not inherited; the rest is.
func TestEnviron(t *testing.T) {
	t.Parallel()
	got := Environ(strings.Fields(`LANG=de_DE LC_ALL=de_DE LC_X=y LANGUAGE=de TZ=Mars CDPATH=. ENV=/x BASH_ENV=/x BASH_FUNC_ls%%=() IFS=x PS4=x
		GREP_OPTIONS=-v POSIXLY_CORRECT=1 LD_PRELOAD=x TMOUT=1 OPTIND=3 SHELLOPTS=e TMPDIR=/tmp/user/0 SSH_AUTH_SOCK=x NOTIFY_SOCKET=x
		PERL5OPT=-d PYTHONPATH=. COLUMNS=20 DF_BLOCK_SIZE=1 TERM=dumb PWD=/gone HOME=/elsewhere USER=else
		verbose=1 ORACLE_HOME=/ora http_proxy=x ENVIRONMENT=prod LANGS=x PATH=.:/ora/bin:/bin::bin`))
	got = slices.DeleteFunc(got, func(v string) bool { // as the user has them
		return strings.HasPrefix(v, "HOME=") || strings.HasPrefix(v, "USER=") || strings.HasPrefix(v, "LOGNAME=")
	})
	slices.Sort(got)
	want := []string{
		"ENVIRONMENT=prod", "LANG=C", "LANGS=x", "ORACLE_HOME=/ora",
		"PATH=/ora/bin:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin", "http_proxy=x", "verbose=1",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Environ = %q\nwant %q", got, want)
	}
	if again := Environ(want); len(slices.Compact(slices.Sorted(slices.Values(again)))) != len(again) {
		t.Errorf("something is there twice: %q", again)
	}
}

// At boot there is no HOME, and with sudo it may be another's.
func TestHome(t *testing.T) {
	t.Parallel()
	me, err := user.Current()
	if err != nil {
		t.Skip("a user whom the system does not know")
	}
	for _, env := range [][]string{nil, {"HOME=/elsewhere"}, {"HOME=" + me.HomeDir}} {
		got := slices.DeleteFunc(Environ(env), func(v string) bool { return !strings.HasPrefix(v, "HOME=") })
		if !slices.Equal(got, []string{"HOME=" + me.HomeDir}) {
			t.Errorf("of %q: %q, want %q", env, got, me.HomeDir)
		}
	}
}
