// Command ignition-validate reads Ignition configurations, one a line in base64, and answers each with a line of
// JSON: whether Ignition itself accepts it, and what it has to say of it.
//
// The publisher's program of this name reads one configuration a run, in a tenth of a second each; ten thousand take
// a second here. The verdict is the same: it is that of the same function.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/coreos/ignition/v2/config"
)

const module = "github.com/coreos/ignition/v2"

// verdict is what is said of one configuration. Report also holds warnings, which leave it valid.
type verdict struct {
	Valid  bool     `json:"valid"`
	Report []string `json:"report"`
}

func judge(configuration []byte) verdict {
	_, found, err := config.Parse(configuration)
	said := verdict{Valid: err == nil && !found.IsFatal(), Report: []string{}}
	for _, entry := range found.Entries {
		said.Report = append(said.Report, entry.String())
	}
	if err != nil {
		said.Report = append(said.Report, err.Error())
	}
	return said
}

// version is that of the module which judges, as this binary was built with it.
func version() string {
	if built, ok := debug.ReadBuildInfo(); ok {
		for _, required := range built.Deps {
			if required.Path == module {
				return required.Version
			}
		}
	}
	return "unknown"
}

func run(in *bufio.Reader, out *bufio.Writer) error {
	answers := json.NewEncoder(out)
	for number := 1; ; number++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return out.Flush()
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		configuration, err := base64.StdEncoding.DecodeString(string(line[:len(line)-1]))
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := answers.Encode(judge(configuration)); err != nil {
			return err
		}
		// Whoever asks one at a time waits for the answer.
		if in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("ignition-validate", version())
		return
	}
	if err := run(bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "ignition-validate:", err)
		os.Exit(1)
	}
}
