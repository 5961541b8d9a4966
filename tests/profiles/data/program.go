package main

import (
	"os"
	"runtime"
	"runtime/pprof"
)

type entry struct{ name [100]byte }

var kept [][]byte
var entries []*entry

func keepSmall(count int) {
	for i := 0; i < count; i++ {
		entries = append(entries, &entry{})
	}
}

func keepLarge(count int) {
	for i := 0; i < count; i++ {
		kept = append(kept, make([]byte, 4096+i%3*4096))
	}
}

func inlined(count int) { keepLarge(count) }

func main() {
	runtime.MemProfileRate = 16384
	keepSmall(20000)
	inlined(500)
	garbage := make([][]byte, 0)
	for i := 0; i < 500; i++ {
		garbage = append(garbage, make([]byte, 9000))
	}
	garbage = nil
	runtime.GC()
	file, _ := os.Create(os.Args[1])
	pprof.WriteHeapProfile(file)
	file.Close()
}
