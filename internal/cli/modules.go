package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"backtowork/internal/script"
)

// modulesOf is the modules that the package sources here; none where that cannot be told.
func (s *site) modulesOf(name string) []string {
	text, err := os.ReadFile(filepath.Join(s.Home, "packages", name))
	if err != nil {
		return nil
	}
	modules := slices.DeleteFunc(script.Sourced(text), func(pattern string) bool { return strings.ContainsAny(pattern, "*`") })
	slices.Sort(modules)
	return slices.Compact(modules)
}

// missingModules says which of its modules the package does not have here. Each action of the script
// that sources one ends with the shell's status, 2 perhaps, which the manager must take for its word.
func (s *site) missingModules(name string) (lines []string) {
	for _, module := range s.modulesOf(name) {
		if _, err := os.Stat(filepath.Join(s.Home, "packages/modules", module)); err != nil {
			lines = append(lines, fmt.Sprintf("package %s sources modules/%s, which is not on this node: copy it from another.", name, plain(module)))
		}
	}
	return lines
}

// firstParams are the parameters without which the shipped modules do nothing.
var firstParams = map[string][]string{
	"vip": {"vip_ip_0"}, "fs": {"fs_dev_0", "fs_dir_0"}, "drbd": {"drbd_res_0"}, "nfs": {"nfs_dir_0"},
	"pr": {"pr_disk_0"}, "virtualization": {"guest_0", "vmid_0"}, "clinit": {"clinit_group_0"},
}

// moduleDoubts says which modules the package sources without their parameters, and that one of them makes
// it count as up.
func (s *site) moduleDoubts(ctx context.Context, name string) (lines []string) {
	r, err := s.asker(name)
	if err != nil {
		return nil // who asked for the other parameters has said why
	}
	defer r.Close()
	for _, module := range s.modulesOf(name) {
		if module == "maintenance.all" {
			lines = append(lines, "modules/maintenance.all is sourced: the package counts as up while /tmp/"+plain(name)+".maintenance is there, whatever its parts say.")
		}
		kind, _, _ := strings.Cut(module, ".")
		params := firstParams[kind]
		if params == nil {
			continue
		}
		values, _, err := r.Echo(ctx, params, nil)
		isSet := func(param string) bool { return err != nil || values[param] != "" }
		if !slices.ContainsFunc(params, isSet) {
			lines = append(lines, fmt.Sprintf("modules/%s is sourced without %s: it does nothing.", plain(module), params[0]))
		}
	}
	return lines
}
