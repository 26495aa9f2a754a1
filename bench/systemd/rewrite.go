package systemd

import "strings"

// naming are the keys whose values name units (systemd.unit(5), systemd.socket(5), systemd.service(5)).
var naming = map[string]bool{
	"Requires": true, "Requisite": true, "Wants": true, "BindsTo": true, "PartOf": true, "Upholds": true, "Conflicts": true,
	"Before": true, "After": true, "OnFailure": true, "OnSuccess": true, "PropagatesReloadTo": true,
	"ReloadPropagatedFrom": true, "PropagatesStopTo": true, "StopPropagatedFrom": true, "JoinsNamespaceOf": true,
	"Service": true, "Sockets": true, "Also": true, "WantedBy": true, "RequiredBy": true, "UpheldBy": true,
}

// rename gives the units that a unit file names their new names. What a command line or a comment says is left as it is, and
// so is what a specifier makes of the unit's own name, such as %p.socket: it has the new name already.
func rename(text string, names map[string]string) string {
	var out strings.Builder
	goesOn, listed := false, false // the line before ends in a backslash; the value names units
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		if trimmed != "" && (trimmed[0] == '#' || trimmed[0] == ';') {
			out.WriteString(line) // also between the lines of one value
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		switch {
		case goesOn && listed:
			line = renameWords(line, names)
		case !goesOn:
			if listed = ok && naming[strings.TrimSpace(key)]; listed {
				line = key + "=" + renameWords(value, names)
			}
		}
		out.WriteString(line)
		goesOn = strings.HasSuffix(trimmed, `\`)
	}
	return out.String()
}

// renameWords replaces whole words, and keeps what is between them.
func renameWords(text string, names map[string]string) string {
	var out strings.Builder
	for len(text) > 0 {
		word, rest := text, ""
		if i := strings.IndexAny(text, " \t\r\n\\"); i == 0 {
			word, rest = text[:1], text[1:]
		} else if i > 0 {
			word, rest = text[:i], text[i:]
		}
		if renamed, ok := names[strings.Trim(word, `"'`)]; ok {
			word = renamed
		}
		out.WriteString(word)
		text = rest
	}
	return out.String()
}
