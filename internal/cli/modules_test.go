package cli

import (
	"slices"
	"testing"
)

func TestSourced(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want []string
	}{
		{". modules/vip.Linux", []string{"vip.Linux"}},
		{"   . \"modules/fs.$os\"\n   . modules/maintenance.all\n", []string{"fs.X", "maintenance.all"}},
		{"( . modules/vip.${os} ) ; . 'modules/ilo4.all' ;;", []string{"vip.X", "ilo4.all"}},
		{"start) . modules/a.$(uname) ;;\n stop) . modules/a.$os ;;", []string{"a.X"}},
		{"source /opt/x/packages/modules/b.all && . ./modules/c.all", []string{"c.all"}},
		{"# . modules/vip.Linux\necho x # . modules/fs.Linux", nil},
		{". modules/$module\n. modules/`cat x`\n./modules/x\n. ./params\ncat modules/vip.Linux", nil},
	}
	for _, tt := range tests {
		if got := sourced(tt.text, "X"); !slices.Equal(got, tt.want) {
			t.Errorf("sourced(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}
