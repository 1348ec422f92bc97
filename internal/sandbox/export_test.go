package sandbox

// FindFake is Find on a tree whose groups are made and removed so.
func FindFake(proc, root string, mkdir, remove func(string) error) Parent {
	return find(proc, root, tree{mkdir, remove})
}

// DescendFake is Descend on such a tree.
func DescendFake(proc string, mkdir, remove func(string) error) bool {
	return descend(proc, tree{mkdir, remove})
}

// ParseStatus reads a proc status file.
func ParseStatus(text string) int64 { return parseStatus(text) }
