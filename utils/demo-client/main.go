// Demo-client asks a web server every 20 ms and prints a line for each answer: the time, in
// seconds, and what the server said, which is the name of its host. What is not answered in
// 200 ms is not printed. It ends when it is killed.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "Usage: demo-client URL")
		os.Exit(2)
	}
	// Every question is a connection of its own, as from another client.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 200 * time.Millisecond}
	for range time.Tick(20 * time.Millisecond) {
		if host, err := ask(context.Background(), client, os.Args[1]); err == nil {
			fmt.Printf("%.3f %s\n", float64(time.Now().UnixMilli())/1000, host)
		}
	}
}

// ask returns the first word of the answer.
func ask(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	if err != nil || resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("no answer: %s: %w", resp.Status, err)
	}
	host, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return host, nil
}
