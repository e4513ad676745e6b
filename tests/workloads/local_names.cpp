// Functions that only this file can call, which GCC gives no linkage name in its debug information:
// built once with KIND=noinline they are in the symbol table, once with KIND=always_inline they are
// not. Namespaces, members, templates, lambdas, local classes; types of all kinds.
#include <cstddef>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#ifndef KIND
#define KIND noinline
#endif
#define LOCAL __attribute__((KIND))

volatile int sink;

namespace red
{
LOCAL static int kernel(int x, int n)
{
    return x * n + sink;
}
} // namespace red

namespace blue
{
inline namespace v2
{
LOCAL static int kernel(int x, int n)
{
    return x / (n + sink);
}
} // namespace v2
} // namespace blue

namespace
{
enum Color { RED, BLUE };

struct Point {
    int x;
    LOCAL explicit Point(int at) : x(at + sink)
    {
    }
    LOCAL int get(int by) const
    {
        return x + by + sink;
    }
    LOCAL static int add(unsigned long by)
    {
        return (int)by + sink;
    }
    LOCAL Point &operator+=(const Point &other)
    {
        x += other.x + sink;
        return *this;
    }
    LOCAL explicit operator bool() const
    {
        return x + sink;
    }
    template <class T> LOCAL T convert(T value)
    {
        return value + sink;
    }
    LOCAL int members(int Point::*member, int (Point::*function)(int) const) &
    {
        return this->*member + (function != nullptr) + sink;
    }
};

template <class T, int V> struct Box {
    LOCAL T put(T value)
    {
        return value + V + sink;
    }
};

template <Color C, bool B, char L, unsigned long N, short S> struct Values {
    LOCAL int sum(const volatile int *p, const char (&text)[3][4]) volatile
    {
        return *p + C + B + L + (int)N + S + text[1][2] + sink;
    }
};

template <class... T> LOCAL int pack(T...)
{
    return sizeof...(T) + sink;
}

LOCAL bool operator<(Point a, Point b)
{
    return a.x + sink < b.x;
}

LOCAL int color(Color c)
{
    return c + sink;
}
} // namespace

typedef struct {
    int value;
} Unnamed;

struct Outer {
    template <class F> LOCAL static double run(F f, double x)
    {
        return f(x) + sink;
    }
};

LOCAL static int texts(const std::string &s, std::vector<int> v, const char *const *p)
{
    return (int)(s.size() + v.size()) + (p != nullptr) + sink;
}

LOCAL static int numbers(int (*f)(int, char), int (&array)[3], long long a, unsigned char b,
                         short c, unsigned short d, long double e, wchar_t g, std::nullptr_t,
                         int &&h, volatile int *i, __int128 j, ...)
{
    return (f != nullptr) + array[0] + (int)(a + b + c + d + e + g + h + *i + j) + sink;
}

LOCAL static void streams(std::ostream &o, std::map<int, std::string>::iterator at)
{
    sink = o.good() + at->first;
}

typedef unsigned long word;
LOCAL static word aliases(word x, std::size_t y, Unnamed *z)
{
    return x + y + (word)z->value + (word)sink;
}

LOCAL static int nothing()
{
    return sink;
}

namespace blue
{
LOCAL static int outer(int x)
{
    struct Local {
        LOCAL int twice(int y)
        {
            return y * 2 + sink;
        }
    };
    auto first = [&](int a) LOCAL { return a + x + sink; };
    {
        auto second = [&](int a) LOCAL { return a - x + sink; };
        x += second(x);
    }
    auto third = [=](double a) mutable LOCAL {
        x++;
        return a * x + sink;
    };
    return Local().twice(x) + first(x) + (int)third(x);
}
} // namespace blue

template <class T> LOCAL static int generic(T t)
{
    auto inner = [=]() LOCAL { return (int)t * sink; };
    return inner() + (int)t;
}

static auto global = [](int a) LOCAL { return a + sink; };

__attribute__((used, noinline)) int work(int n, std::ostream &o, std::string s)
{
    Point p(n), q(2);
    Box<int, 3> box;
    Box<unsigned char, -1> small;
    Values<BLUE, true, 'x', 3, -4> values;
    Unnamed unnamed = {n};
    int array[3] = {1, 2, 3};
    char text[3][4] = {};
    std::map<int, std::string> m = {{n, s}};
    std::vector<int> v = {n};
    volatile int i = n;
    p += q;
    int x = red::kernel(n, 2) + blue::kernel(n, 3) + p.get(1) + Point::add(2) + p.convert(2.0) +
            p.convert('a') + p.members(&Point::x, nullptr) + box.put(2) + small.put(3) +
            values.sum(&i, text) + pack(1, 2.0, p) + pack() + (p < q) + color(BLUE) + bool(p);
    x +=
        texts(s, v, nullptr) + numbers(nullptr, array, 1, 2, 3, 4, 5, 6, nullptr, 7, &i, 8, "more");
    streams(o, m.begin());
    x += (int)aliases(1, 2, &unnamed) + nothing() + blue::outer(n) + generic(n) + generic('a') +
         global(n);
    x += (int)Outer::run([&](double y) LOCAL { return y + x + sink; }, 2);
    x += (int)Outer::run([&](double y) LOCAL { return y - x + sink; }, 3);
    return x;
}

int main(int argc, char **)
{
    return argc > 1000 ? work(argc, *(std::ostream *)nullptr, "") : 0;
}
