package storetest

// Exams returns the names of all exams.
func Exams() (names []string) {
	for _, e := range exams {
		names = append(names, e.name)
	}
	return names
}
