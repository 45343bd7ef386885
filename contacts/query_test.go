package contacts

import "testing"

func TestReadable(t *testing.T) {
	for query, good := range map[string]bool{
		"": true, "limit=1": true, "limit=1&cursor=x": true, "other=1&other=2": true, "x": true,
		"limit=%zz": false, "a;b": false, "limit=": true, "cursor=": true, "limit=1&limit=2": false, "cursor=a&cursor=b": false,
	} {
		if err := readable(query); (err == nil) != good {
			t.Errorf("query %q: %v", query, err)
		}
	}
}
