package native

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// dateText is now in a format of simple directives.
func dateText(format string, now time.Time) (string, bool) {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		if i++; i == len(format) {
			return "", false
		}
		if word, known := dateWords[format[i]]; known {
			out.WriteString(now.Format(word))
			continue
		}
		switch format[i] {
		case '%':
			out.WriteByte('%')
		case 'n':
			out.WriteByte('\n')
		case 't':
			out.WriteByte('\t')
		case 's':
			out.WriteString(strconv.FormatInt(now.Unix(), 10))
		case 'N':
			fmt.Fprintf(&out, "%09d", now.Nanosecond())
		case 'k':
			fmt.Fprintf(&out, "%2d", now.Hour())
		case 'l':
			fmt.Fprintf(&out, "%2d", (now.Hour()+11)%12+1)
		case 'u':
			fmt.Fprint(&out, (int(now.Weekday())+6)%7+1)
		case 'w':
			fmt.Fprint(&out, int(now.Weekday()))
		case 'C':
			fmt.Fprintf(&out, "%02d", now.Year()/100)
		case 'V':
			_, week := now.ISOWeek()
			fmt.Fprintf(&out, "%02d", week)
		case 'G':
			year, _ := now.ISOWeek()
			fmt.Fprint(&out, year)
		default:
			return "", false
		}
	}
	return out.String(), true
}

// zone is the call's time zone; nil declines. Only names of the system's files are known, and no rules.
func (c *Call) zone() *time.Location {
	name, set := c.Env("TZ")
	if set && (name == "" || name == "UTC" || name == "UTC0") {
		return time.UTC
	}
	path := "/etc/localtime"
	if set {
		if strings.HasPrefix(name, ":") || strings.HasPrefix(name, "/") || strings.Contains(name, "..") {
			return nil
		}
		if _, set := c.Env("TZDIR"); set {
			return nil
		}
		path = filepath.Join("/usr/share/zoneinfo", name)
	}
	data, err := os.ReadFile(path)
	if os.IsNotExist(err) && !set {
		return time.UTC
	}
	if err != nil {
		return nil
	}
	zone, err := time.LoadLocationFromTZData(name, data)
	if err != nil {
		return nil
	}
	return zone
}
