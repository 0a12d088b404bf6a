// Copyright The qualysvmdr Authors
// SPDX-License-Identifier: Apache-2.0

package qualysvmdrreceiver

import (
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
)

// option is one key of the configuration.
type option struct {
	// value is the default as a configuration would hold it, durations as time.Duration; nil: there is none.
	value any
	// section tells that the key holds other keys; an empty section that is only there or not has none.
	section bool
}

// options are the keys of Config by their paths, a::b::c, with their defaults: what users can write, by reflection.
func options(t *testing.T) map[string]option {
	t.Helper()
	conf := confmap.NewFromStringMap(map[string]any{
		"vulnerabilities": nil, "knowledge_base": nil, "hosts": nil, "asset_inventory": nil, "activity_log": nil,
	})
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, conf.Unmarshal(cfg))
	found := map[string]option{}
	collectOptions(found, "", reflect.ValueOf(cfg).Elem())
	for _, client := range []string{"server", "gateway"} {
		// confighttp folds its section keepalive into the flat keys of before, which hold its defaults. What switches an
		// optional section off is configoptional's.
		for _, key := range []string{"idle_conn_timeout", "max_idle_conns", "max_idle_conns_per_host"} {
			found[client+"::keepalive::"+key] = found[client+"::"+key]
		}
		found[client+"::keepalive::enabled"] = option{value: true}
	}
	return found
}

func collectOptions(found map[string]option, prefix string, section reflect.Value) {
	for i := range section.NumField() {
		field := section.Type().Field(i)
		if !field.IsExported() {
			continue
		}
		name, flags, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		if strings.Contains(flags, "squash") {
			collectOptions(found, prefix, section.Field(i))
			continue
		}
		collectOption(found, prefix+name, section.Field(i))
	}
}

func collectOption(found map[string]option, path string, v reflect.Value) {
	if get := v.Addr().MethodByName("Get"); strings.HasPrefix(v.Type().Name(), "Optional[") {
		value := get.Call(nil)[0]
		if value.IsNil() {
			value = reflect.New(value.Type().Elem())
		}
		v = value.Elem()
	}
	var value any
	switch x := v.Interface().(type) {
	case time.Duration:
		value = x
	case configopaque.String:
		value = string(x)
	case configopaque.MapList:
		value = map[string]any{}
	case component.ID:
		value = x.String()
	case *component.ID:
		value = nil
	case nil:
		value = "" // a time, of which there is none
	case *int:
		value = defaultReserve // which holds while none is set
	default:
		switch v.Kind() {
		case reflect.Struct:
			found[path] = option{section: true}
			collectOptions(found, path+"::", v)
			return
		case reflect.Slice:
			list := []any{}
			for i := range v.Len() {
				list = append(list, v.Index(i).Interface())
			}
			value = list
		case reflect.Map:
			entries := map[string]any{}
			for _, key := range v.MapKeys() {
				entries[key.String()] = v.MapIndex(key).Interface()
			}
			value = entries
		case reflect.String:
			value = v.String()
		default:
			value = x
		}
	}
	found[path] = option{value: value}
}

// same reports whether a value of a YAML document is the default of an option. Durations must be texts.
func same(t *testing.T, path string, want, documented any) {
	t.Helper()
	duration, ok := want.(time.Duration)
	if !ok {
		assert.EqualValues(t, want, documented, "default of %s", path)
		return
	}
	text, ok := documented.(string)
	require.True(t, ok, "the default of %s must be a text such as 1h, is %v", path, documented)
	parsed, err := time.ParseDuration(text)
	require.NoError(t, err, path)
	assert.Equal(t, duration, parsed, "default of %s", path)
}

func readYAML(t *testing.T, text string) map[string]any {
	t.Helper()
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(text))
	require.NoError(t, err)
	raw, err := retrieved.AsRaw()
	require.NoError(t, err)
	return raw.(map[string]any)
}

func TestSchemaHasTheOptionsOfConfig(t *testing.T) {
	text, err := os.ReadFile("config.schema.yaml")
	require.NoError(t, err)
	schema := readYAML(t, string(text))
	described := map[string]map[string]any{}
	collectProperties(t, described, schema["$defs"].(map[string]any), "", schema)

	want := options(t)
	require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(described)))
	for path, option := range want {
		property := described[path]
		assert.NotEmpty(t, property["description"], "description of %s", path)
		value, given := property["default"]
		if option.section {
			assert.False(t, given, "%s is a section, its keys have defaults", path)
			continue
		}
		if assert.True(t, given, "default of %s", path) {
			same(t, path, option.value, value)
		}
	}
}

// collectProperties lists the properties of a schema by their paths. What "$ref" names belongs to the property; keywords
// beside it win.
func collectProperties(t *testing.T, found map[string]map[string]any, defs map[string]any, prefix string, schema map[string]any) {
	t.Helper()
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		merged := map[string]any{}
		if ref, ok := property.(map[string]any)["$ref"].(string); ok {
			def, ok := defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
			require.True(t, ok, "%s%s refers to %s, which there is not", prefix, name, ref)
			maps.Copy(merged, def)
		}
		maps.Copy(merged, property.(map[string]any))
		found[prefix+name] = merged
		collectProperties(t, found, defs, prefix+name+"::", merged)
	}
}

var (
	configurationPart = regexp.MustCompile(`(?s)\n## Configuration\n(.*?)\n## `)
	inCode            = regexp.MustCompile("`([^`]+)`")
)

func TestReadmeHasTheOptionsOfConfig(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	part := configurationPart.FindSubmatch(text)
	require.NotNil(t, part)
	documented := map[string]string{}
	var prefixes []string
	for line := range strings.Lines(string(part[1])) {
		line = strings.TrimSpace(line)
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			prefixes = nil
			for _, name := range inCode.FindAllStringSubmatch(heading, -1) {
				prefixes = append(prefixes, name[1]+"::")
			}
			if prefixes == nil {
				prefixes = []string{""}
			}
		}
		cells := strings.Split(line, "|")
		if len(cells) != 6 || !strings.HasPrefix(line, "| `") {
			continue
		}
		for _, prefix := range prefixes {
			path := prefix + strings.Trim(cells[1], " `")
			require.NotContains(t, documented, path, "an option stands in the tables twice")
			documented[path] = strings.Trim(cells[2], " `")
		}
	}

	want := options(t)
	for path := range want {
		// A section that has keys stands in the tables by them.
		if want[path].section && slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(other string) bool { return strings.HasPrefix(other, path+"::") }) {
			delete(want, path)
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(documented)))
	for path, option := range want {
		if option.section {
			assert.Equal(t, "–", documented[path], "default of %s", path)
			continue
		}
		same(t, path, option.value, readYAML(t, "value: "+documented[path])["value"])
	}
}

func TestReadmeDescribesTheRecordsOfEachDataset(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, records, found := strings.Cut(string(text), "\n## Records\n")
	require.True(t, found)
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [^|]+ \\| (`[A-Za-z]+`) \\|").FindAllStringSubmatch(string(text), -1)
	require.Len(t, rows, 4, "datasets")
	for _, row := range rows {
		assert.Contains(t, records, " "+row[2]+" |", "%s is missing in the table", row[1])
	}
}

func TestReadmeHasThePlatforms(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for name, p := range platforms {
		assert.Contains(t, string(text), "| "+name+" | `"+p.server+"` | `"+p.gateway+"` |")
	}
}
