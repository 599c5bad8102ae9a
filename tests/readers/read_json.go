// The same with Go's encoding/json; see read_json.py.
package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
)

func dump(value interface{}, path string, out *[]string) {
	switch value := value.(type) {
	case string:
		*out = append(*out, path+"="+hex.EncodeToString([]byte(value)))
	case []interface{}:
		for index, element := range value {
			dump(element, fmt.Sprintf("%s[%d]", path, index), out)
		}
	case map[string]interface{}:
		for key, member := range value {
			place := path + "{" + hex.EncodeToString([]byte(key)) + "}"
			*out = append(*out, place)
			dump(member, place, out)
		}
	}
}

func read(line string) string {
	document, err := hex.DecodeString(line)
	if err != nil {
		panic(err)
	}
	var value interface{}
	if json.Unmarshal(document, &value) != nil {
		return "-"
	}
	found := []string{}
	dump(value, "", &found)
	sort.Strings(found)
	return strings.Join(found, ";")
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		fmt.Fprintln(out, read(lines.Text()))
	}
}
