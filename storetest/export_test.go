package storetest

// Exams returns the names of all exams.
func Exams() (names []string) {
	for _, e := range exams {
		names = append(names, e.name)
	}
	return names
}

// LeaseExams returns the names of all exams of a LeaseStore.
func LeaseExams() (names []string) {
	for _, e := range leaseExams {
		names = append(names, e.name)
	}
	return names
}

// Kept is how a store gives a text back.
var Kept = kept
